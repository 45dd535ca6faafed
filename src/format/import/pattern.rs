//! Patterns of file names with captures, and templates that captures are put into.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the parts of a matched name are called.
pub(super) type Captures = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Any,
    /// `{name}`
    Capture(String),
}

/// A path with `*`, `?` and `{name}`; none of them crosses a `/`. A name that occurs twice stands for the same text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pattern(Vec<Token>);

impl Pattern {
    /// # Errors
    /// Text saying what is wrong with the braces.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            tokens.push(match c {
                '*' => Token::Any,
                '?' => Token::One,
                '{' => Token::Capture(capture_name(text, &mut rest)?),
                c => Token::Char(c),
            });
        }
        Ok(Self(tokens))
    }

    /// The captures, if the whole text matches; every capture takes the shortest text that lets the rest match.
    pub(super) fn matches(&self, text: &str) -> Option<Captures> {
        let chars: Vec<char> = text.chars().collect();
        let mut captures = Captures::new();
        match_from(&self.0, &chars, &mut captures).then_some(captures)
    }

    /// All files that match, sorted by path.
    ///
    /// # Errors
    /// The folder that cannot be listed, and why.
    pub(super) fn find(&self) -> Result<Vec<(PathBuf, Captures)>, (PathBuf, std::io::Error)> {
        let components: Vec<&[Token]> = self.0.split(|t| *t == Token::Char('/')).collect();
        let mut found = vec![PathBuf::new()];
        for (depth, tokens) in components.iter().enumerate() {
            let literal: Option<String> = tokens.iter().map(|t| if let Token::Char(c) = t { Some(*c) } else { None }).collect();
            let is_last = depth + 1 == components.len();
            let mut next = Vec::new();
            for folder in found {
                match &literal {
                    Some(name) if depth == 0 && name.is_empty() => next.push(PathBuf::from("/")),
                    Some(name) => next.extend(Some(folder.join(name)).filter(|p| p.exists())),
                    None => next.extend(list(&folder, tokens, is_last).map_err(|e| (folder.clone(), e))?),
                }
            }
            found = next;
        }
        let mut files: Vec<_> =
            found.into_iter().filter(|p| p.is_file()).filter_map(|p| self.matches(&p.to_string_lossy()).map(|c| (p, c))).collect();
        files.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(files)
    }
}

/// Entries of a folder whose name fits one component of a pattern.
fn list(folder: &Path, tokens: &[Token], is_last: bool) -> std::io::Result<Vec<PathBuf>> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name: Vec<char> = path.file_name().unwrap_or_default().to_string_lossy().chars().collect();
        if match_from(tokens, &name, &mut Captures::new()) && (is_last || path.is_dir()) {
            found.push(path);
        }
    }
    Ok(found)
}

fn match_from(tokens: &[Token], text: &[char], captures: &mut Captures) -> bool {
    let Some((token, later)) = tokens.split_first() else {
        return text.is_empty();
    };
    // Number of characters that a wildcard may take: up to the next slash.
    let reach = text.iter().position(|&c| c == '/').unwrap_or(text.len());
    match token {
        Token::Char(c) => text.first() == Some(c) && match_from(later, &text[1..], captures),
        Token::One => reach > 0 && match_from(later, &text[1..], captures),
        Token::Any => (0..=reach).any(|n| match_from(later, &text[n..], captures)),
        Token::Capture(name) => {
            if let Some(known) = captures.get(name) {
                let known: Vec<char> = known.chars().collect();
                return text.starts_with(&known) && match_from(later, &text[known.len()..], captures);
            }
            for n in 1..=reach {
                captures.insert(name.clone(), text[..n].iter().collect());
                if match_from(later, &text[n..], captures) {
                    return true;
                }
            }
            captures.remove(name);
            false
        }
    }
}

/// The name up to the closing brace.
fn capture_name(text: &str, rest: &mut std::str::Chars) -> Result<String, String> {
    let after = rest.as_str();
    let end = after.find('}').ok_or_else(|| format!("'{text}' has a '{{' without its '}}'"))?;
    let name = &after[..end];
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.') {
        return Err(format!("'{{{name}}}' in '{text}' is no name of letters, digits, '_', '-' and '.'"));
    }
    *rest = after[end + 1..].chars();
    Ok(name.to_owned())
}

/// Puts values into the `{name}`s of a template.
///
/// # Errors
/// Text naming the unknown name and those that are known.
pub(super) fn fill(template: &str, look_up: impl Fn(&str) -> Option<String>, known: &Captures) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template.chars();
    while let Some(c) = rest.next() {
        if c == '{' {
            let name = capture_name(template, &mut rest)?;
            let value = known.get(&name).cloned().or_else(|| look_up(&name));
            out += &value.ok_or_else(|| {
                let names: Vec<_> = known.keys().map(|k| format!("{{{k}}}")).collect();
                format!("'{{{name}}}' in '{template}' is unknown; there are {}", names.join(" "))
            })?;
        } else {
            out.push(c);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_name_the_parts() {
        let pattern = Pattern::parse("a/c4d_{date}_{time}_ooi_{band}_*.{ccd}.fits").unwrap();
        let captures = pattern.matches("a/c4d_150411_035242_ooi_z_ls9.N3.fits").unwrap();
        let got: Vec<_> = captures.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(got, ["band=z", "ccd=N3", "date=150411", "time=035242"]);
        assert_eq!(pattern.matches("a/c4d_150411_035242_oow_z_ls9.N3.fits"), None);
        assert_eq!(pattern.matches("a/c4d_150411_035/242_ooi_z_ls9.N3.fits"), None, "a capture must not cross a slash");
        assert_eq!(fill("{band}-{ccd}.{x}", |n| (n == "x").then(|| "7".into()), &captures).unwrap(), "z-N3.7");
        assert!(fill("{bnd}", |_| None, &captures).unwrap_err().contains("'{bnd}' in '{bnd}' is unknown; there are {band} {ccd}"));
    }

    #[test]
    fn a_name_twice_is_the_same_text() {
        let pattern = Pattern::parse("{n}/x_{n}.fits").unwrap();
        assert_eq!(pattern.matches("12/x_12.fits").unwrap()["n"], "12");
        assert_eq!(pattern.matches("12/x_13.fits"), None);
        assert!(Pattern::parse("{n").unwrap_err().contains("without"));
    }
}
