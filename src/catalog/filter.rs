//! Conditions on the rows of a table, as text: `r_psf_flux / r_psf_flux_err > 10 and not r_psf_flux_flag`.
//!
//! ```text
//! condition  = and { "or" and }              and   = not { "and" not }         not = "not" not | comparison
//! comparison = sum [ ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") sum ]       sum = product { ("+" | "-") product }
//! product    = sign { ("*" | "/") sign }     sign  = "-" sign | atom
//! atom       = number | 'text' | "text" | true | false | column | function "(" condition ")" | "(" condition ")"
//! function   = is_nan | abs | sqrt | log10
//! ```
//!
//! Names of columns as in the table; integers compare exactly, also beyond 2^53, with each other; NaN compares as in IEEE 754: only `!=` holds.

use super::{ColumnData, Table, TableError};

/// Why a condition was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FilterError {
    /// Not of the grammar.
    #[error("condition, at character {at}: found {found}; expected {expected}")]
    Syntax {
        /// Place, from 1.
        at: usize,
        /// What stands there.
        found: String,
        /// What could.
        expected: &'static str,
    },
    /// An operation on values that it is not made for.
    #[error("condition: {what} has {found}; expected {expected}")]
    Kind {
        /// Operator or function.
        what: String,
        /// Kinds of its operands.
        found: String,
        /// Kinds that it takes.
        expected: &'static str,
    },
    /// No such column.
    #[error("condition: {0}")]
    Column(#[from] TableError),
}

/// A parsed condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Real(f64),
    Int(i64),
    Text(String),
    Bool(bool),
    Column(String),
    /// Operator or function of one operand.
    One(&'static str, Box<Node>),
    Two(&'static str, Box<Node>, Box<Node>),
}

const FUNCTIONS: [&str; 4] = ["is_nan", "abs", "sqrt", "log10"];
const COMPARISONS: [&str; 7] = ["==", "!=", "<=", ">=", "<", ">", "="];

impl Filter {
    /// Reads a condition.
    ///
    /// # Errors
    /// [`FilterError::Syntax`] saying where and what.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let mut parser = Parser { tokens: tokens(text)?, next: 0, n_characters: text.chars().count() };
        let node = parser.or()?;
        match parser.peek() {
            None => Ok(Self(node)),
            Some(_) => Err(parser.wrong("and, or, an operator, or the end")),
        }
    }

    /// True for every row that the condition holds for.
    ///
    /// # Errors
    /// [`FilterError`] if a column is missing or of another kind, or the condition is no condition but a number.
    pub fn rows(&self, table: &Table) -> Result<Vec<bool>, FilterError> {
        match evaluate(&self.0, table)? {
            ColumnData::Bool(rows) => Ok(rows),
            other => Err(kind("the condition", &[&other], "true or false")),
        }
    }

    /// Columns that it names.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        fn add<'a>(node: &'a Node, found: &mut Vec<&'a str>) {
            match node {
                Node::Column(name) => found.push(name),
                Node::One(_, a) => add(a, found),
                Node::Two(_, a, b) => [a, b].into_iter().for_each(|n| add(n, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        add(&self.0, &mut found);
        found
    }
}

// --- text to tree ------------------------------------------------------------------------------------------------------------

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(String),
    Text(String),
    Word(String),
    Sign(&'static str),
}

/// Tokens with their places, from 1.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, FilterError> {
    const SIGNS: [&str; 13] = ["==", "!=", "<=", ">=", "<", ">", "=", "+", "-", "*", "/", "(", ")"];
    let letters: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut i = 0;
    let take = |from: usize, belongs: &dyn Fn(usize) -> bool| -> String {
        (from..letters.len()).take_while(|&k| belongs(k)).map(|k| letters[k]).collect()
    };
    while i < letters.len() {
        let (at, c) = (i + 1, letters[i]);
        let is_number = c.is_ascii_digit() || (c == '.' && letters.get(i + 1).is_some_and(char::is_ascii_digit));
        if c.is_whitespace() {
            i += 1;
        } else if is_number {
            // A sign belongs to a number only behind its exponent.
            let is_exponent = |k: usize| matches!(letters[k], '+' | '-') && matches!(letters[k - 1], 'e' | 'E');
            let word = take(i, &|k| letters[k].is_ascii_alphanumeric() || letters[k] == '.' || (k > i && is_exponent(k)));
            i += word.len();
            found.push((at, Token::Number(word)));
        } else if c.is_alphabetic() || c == '_' {
            let word = take(i, &|k| letters[k].is_alphanumeric() || letters[k] == '_');
            i += word.chars().count();
            found.push((at, Token::Word(word)));
        } else if c == '\'' || c == '"' {
            let inner = take(i + 1, &|k| letters[k] != c);
            i += inner.chars().count() + 2;
            if i > letters.len() {
                return Err(FilterError::Syntax { at, found: "a text without an end".into(), expected: "its closing quote" });
            }
            found.push((at, Token::Text(inner)));
        } else {
            let rest: String = letters[i..].iter().take(2).collect();
            let Some(sign) = SIGNS.into_iter().find(|s| rest.starts_with(s)) else {
                return Err(FilterError::Syntax {
                    at,
                    found: format!("\"{c}\""),
                    expected: "a name, a number, a text, an operator or a bracket",
                });
            };
            i += sign.len();
            found.push((at, Token::Sign(sign)));
        }
    }
    Ok(found)
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    n_characters: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|t| &t.1)
    }

    fn wrong(&self, expected: &'static str) -> FilterError {
        let (at, found) = match self.tokens.get(self.next) {
            None => (self.n_characters + 1, "the end".to_owned()),
            Some((at, Token::Number(t) | Token::Word(t))) => (*at, format!("\"{t}\"")),
            Some((at, Token::Text(t))) => (*at, format!("the text '{t}'")),
            Some((at, Token::Sign(t))) => (*at, format!("\"{t}\"")),
        };
        FilterError::Syntax { at, found, expected }
    }

    /// Takes the next token if it is one of these signs or words.
    fn take(&mut self, wanted: &[&'static str]) -> Option<&'static str> {
        let found = match self.peek()? {
            Token::Sign(s) => wanted.iter().find(|w| *w == s).copied(),
            Token::Word(word) => wanted.iter().find(|w| w.eq_ignore_ascii_case(word)).copied(),
            _ => None,
        };
        self.next += usize::from(found.is_some());
        found
    }

    /// Operands of the next level, joined from the left.
    fn chain(&mut self, signs: &[&'static str], operand: fn(&mut Self) -> Result<Node, FilterError>) -> Result<Node, FilterError> {
        let mut left = operand(self)?;
        while let Some(sign) = self.take(signs) {
            left = Node::Two(sign, Box::new(left), Box::new(operand(self)?));
        }
        Ok(left)
    }

    fn or(&mut self) -> Result<Node, FilterError> {
        self.chain(&["or"], Self::and)
    }

    fn and(&mut self) -> Result<Node, FilterError> {
        self.chain(&["and"], Self::not)
    }

    fn not(&mut self) -> Result<Node, FilterError> {
        if self.take(&["not"]).is_some() { Ok(Node::One("not", Box::new(self.not()?))) } else { self.comparison() }
    }

    fn comparison(&mut self) -> Result<Node, FilterError> {
        let left = self.sum()?;
        let Some(sign) = self.take(&COMPARISONS) else { return Ok(left) };
        let sign = if sign == "=" { "==" } else { sign };
        Ok(Node::Two(sign, Box::new(left), Box::new(self.sum()?)))
    }

    fn sum(&mut self) -> Result<Node, FilterError> {
        self.chain(&["+", "-"], |p| p.chain(&["*", "/"], Self::signed))
    }

    fn signed(&mut self) -> Result<Node, FilterError> {
        if self.take(&["-"]).is_none() {
            return self.atom();
        }
        Ok(match self.signed()? {
            Node::Int(v) => Node::Int(-v),
            Node::Real(v) => Node::Real(-v),
            other => Node::One("-", Box::new(other)),
        })
    }

    fn atom(&mut self) -> Result<Node, FilterError> {
        const EXPECTED: &str = "a column, a number, a text, a function or a bracket";
        if self.take(&["("]).is_some() {
            return self.closed();
        }
        let node = match self.peek() {
            Some(Token::Number(text)) => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(whole), _) => Node::Int(whole),
                (_, Ok(real)) => Node::Real(real),
                _ => return Err(self.wrong("a number")),
            },
            Some(Token::Text(text)) => Node::Text(text.clone()),
            Some(Token::Word(word)) => match word.as_str() {
                "true" => Node::Bool(true),
                "false" => Node::Bool(false),
                "and" | "or" | "not" => return Err(self.wrong(EXPECTED)),
                name => match FUNCTIONS.into_iter().find(|f| *f == name) {
                    Some(function) => {
                        self.next += 1;
                        if self.take(&["("]).is_none() {
                            return Err(self.wrong("an opening bracket"));
                        }
                        return Ok(Node::One(function, Box::new(self.closed()?)));
                    }
                    None => Node::Column(name.to_owned()),
                },
            },
            _ => return Err(self.wrong(EXPECTED)),
        };
        self.next += 1;
        Ok(node)
    }

    /// What stands in a bracket that is open, and the closing one.
    fn closed(&mut self) -> Result<Node, FilterError> {
        let node = self.or()?;
        if self.take(&[")"]).is_some() { Ok(node) } else { Err(self.wrong("a closing bracket")) }
    }
}

// --- tree to values ----------------------------------------------------------------------------------------------------------

fn kind(what: &str, found: &[&ColumnData], expected: &'static str) -> FilterError {
    let name = |data: &&ColumnData| match data {
        ColumnData::F64(_) | ColumnData::I64(_) => "a number",
        ColumnData::Bool(_) => "true or false",
        ColumnData::Text(_) => "a text",
    };
    FilterError::Kind { what: what.to_owned(), found: found.iter().map(name).collect::<Vec<_>>().join(" and "), expected }
}

/// One value a row.
fn evaluate(node: &Node, table: &Table) -> Result<ColumnData, FilterError> {
    let n = table.n_rows();
    Ok(match node {
        Node::Real(v) => ColumnData::F64(vec![*v; n]),
        Node::Int(v) => ColumnData::I64(vec![*v; n]),
        Node::Bool(v) => ColumnData::Bool(vec![*v; n]),
        Node::Text(v) => ColumnData::Text(vec![v.clone(); n]),
        Node::Column(name) => table.column(name)?.data.clone(),
        Node::One(what, operand) => one(what, evaluate(operand, table)?)?,
        Node::Two(what, a, b) => two(what, &evaluate(a, table)?, &evaluate(b, table)?)?,
    })
}

fn one(what: &str, operand: ColumnData) -> Result<ColumnData, FilterError> {
    if what == "not" {
        return match operand {
            ColumnData::Bool(v) => Ok(ColumnData::Bool(v.into_iter().map(|b| !b).collect())),
            other => Err(kind(what, &[&other], "true or false")),
        };
    }
    if let (ColumnData::I64(v), "abs" | "-") = (&operand, what) {
        let whole = |x: &i64| if what == "abs" { x.wrapping_abs() } else { x.wrapping_neg() };
        return Ok(ColumnData::I64(v.iter().map(whole).collect()));
    }
    let Some(v) = reals(&operand) else { return Err(kind(what, &[&operand], "a number")) };
    let map = |f: fn(f64) -> f64| ColumnData::F64(v.iter().map(|&x| f(x)).collect());
    Ok(match what {
        "is_nan" => ColumnData::Bool(v.iter().map(|x| x.is_nan()).collect()),
        "abs" => map(f64::abs),
        "sqrt" => map(f64::sqrt),
        "log10" => map(f64::log10),
        _ => map(|x| -x),
    })
}

fn reals(data: &ColumnData) -> Option<Vec<f64>> {
    match data {
        ColumnData::F64(v) => Some(v.clone()),
        ColumnData::I64(v) => Some(v.iter().map(|&x| x as f64).collect()),
        _ => None,
    }
}

fn two(what: &str, a: &ColumnData, b: &ColumnData) -> Result<ColumnData, FilterError> {
    if matches!(what, "and" | "or") {
        return match (a, b) {
            (ColumnData::Bool(a), ColumnData::Bool(b)) => {
                Ok(ColumnData::Bool(a.iter().zip(b).map(|(a, b)| if what == "and" { *a && *b } else { *a || *b }).collect()))
            }
            _ => Err(kind(what, &[a, b], "true or false on both sides")),
        };
    }
    if COMPARISONS.contains(&what) {
        return match (a, b) {
            (ColumnData::I64(a), ColumnData::I64(b)) => Ok(compared(what, a, b)),
            (ColumnData::Text(a), ColumnData::Text(b)) => Ok(compared(what, a, b)),
            (ColumnData::Bool(a), ColumnData::Bool(b)) => Ok(compared(what, a, b)),
            _ => match (reals(a), reals(b)) {
                (Some(a), Some(b)) => Ok(compared(what, &a, &b)),
                _ => Err(kind(what, &[a, b], "two of one kind")),
            },
        };
    }
    let (Some(x), Some(y)) = (reals(a), reals(b)) else { return Err(kind(what, &[a, b], "numbers")) };
    let operation = match what {
        "+" => |x, y| x + y,
        "-" => |x, y| x - y,
        "*" => |x, y| x * y,
        _ => |x: f64, y: f64| x / y,
    };
    Ok(ColumnData::F64(x.into_iter().zip(y).map(|(x, y)| operation(x, y)).collect()))
}

fn compared<T: PartialOrd>(what: &str, a: &[T], b: &[T]) -> ColumnData {
    let holds = |(a, b): (&T, &T)| match what {
        "==" => a == b,
        "!=" => a != b,
        "<" => a < b,
        "<=" => a <= b,
        ">" => a > b,
        _ => a >= b,
    };
    ColumnData::Bool(a.iter().zip(b).map(holds).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new();
        table.push("id", "", "", ColumnData::I64(vec![(1 << 60) + 1, 2, -3])).unwrap();
        table.push("flux", "nJy", "", ColumnData::F64(vec![10.0, f64::NAN, -2.5])).unwrap();
        table.push("flag", "", "", ColumnData::Bool(vec![false, true, false])).unwrap();
        table.push("class", "", "", ColumnData::Text(vec!["star".into(), "galaxy".into(), "star".into()])).unwrap();
        table
    }

    fn rows(text: &str) -> Vec<usize> {
        let rows = Filter::parse(text).and_then(|f| f.rows(&table())).unwrap_or_else(|e| panic!("{text}: {e}"));
        (0..rows.len()).filter(|&i| rows[i]).collect()
    }

    #[test]
    fn conditions_choose_rows() {
        for (text, expected) in [
            ("true", &[0, 1, 2][..]),
            ("flux > 0", &[0]),
            ("flux <= 1e1 and not flag", &[0, 2]),
            ("flag or class = 'star'", &[0, 1, 2]),
            ("class != \"star\"", &[1]),
            ("is_nan(flux)", &[1]),
            ("flux != flux", &[1]),
            ("not is_nan(flux) AND abs(flux) < 5", &[2]),
            ("id == 1152921504606846977", &[0]),
            // One less is another integer, though the same double.
            ("id == 1152921504606846976", &[]),
            ("id = -3", &[2]),
            ("-id >= 3", &[2]),
            ("flux / 5 - 1 == 1", &[0]),
            ("2 + 3 * 4 == 14 and (2 + 3) * 4 == 20", &[0, 1, 2]),
            ("sqrt(flux * flux) > log10(100) + 0.4", &[0, 2]),
            // `and` binds closer than `or`, `not` closer than `and`.
            ("true or false and false", &[0, 1, 2]),
            ("not true or true", &[0, 1, 2]),
            ("10 - 4 - 3 == 3 and 2e-1 < .3", &[0, 1, 2]),
        ] {
            assert_eq!(rows(text), expected, "{text}");
        }
        assert_eq!(Filter::parse("a > 1 and is_nan(b)").unwrap().columns(), ["a", "b"]);
    }

    #[test]
    fn errors_say_where_and_what() {
        for (text, expected) in [
            ("", "at character 1: found the end; expected a column"),
            ("flux >", "at character 7: found the end"),
            ("flux > 1 flag", "at character 10: found \"flag\"; expected and, or"),
            ("(flux > 1", "found the end; expected a closing bracket"),
            ("flux > 1)", "at character 9: found \")\""),
            ("flux ? 1", "at character 6: found \"?\""),
            ("class = 'star", "at character 9: found a text without an end"),
            ("1 < flux < 3", "at character 10: found \"<\""),
            ("is_nan flux", "expected an opening bracket"),
            ("1.2.3 < flux", "at character 1: found \"1.2.3\"; expected a number"),
            ("flux", "the condition has a number; expected true or false"),
            ("flux and flag", "and has a number and true or false"),
            ("class > 3", "> has a text and a number; expected two of one kind"),
            ("not flux", "not has a number; expected true or false"),
            ("fluxx > 1", "column fluxx is missing; the table has: id, flux"),
        ] {
            let error = Filter::parse(text).and_then(|f| f.rows(&table())).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
