//! Where one number or text of an exposure comes from.

use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};
use std::collections::BTreeMap;

/// A value in a layout: a number, a template, or where to look.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    /// The same for all exposures.
    Number(f64),
    /// Text with captures to be put in.
    Template(String),
    /// In the image's header or a table.
    From(Box<Look>),
}

/// Where to look, and what to do with what is found there.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Look {
    /// Header card.
    pub(super) key: Option<String>,
    /// Several header cards, whose values are combined.
    pub(super) keys: Vec<String>,
    /// How several cards make one number.
    pub(super) combine: Combine,
    /// Column of a table.
    pub(super) column: Option<String>,
    /// Name of the table; may be left out if there is only one.
    pub(super) table: Option<String>,
    /// Keep only so many first characters of a text.
    pub(super) first: Option<usize>,
    /// Their text = ours.
    pub(super) map: BTreeMap<String, String>,
    /// Factor on a number.
    pub(super) scale: Option<f64>,
    /// Added after the factor.
    pub(super) offset: Option<f64>,
    /// Used where the card is missing.
    pub(super) default: Option<f64>,
}

/// How several numbers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Combine {
    /// Arithmetic mean.
    #[default]
    Mean,
    /// Smallest.
    Min,
    /// Largest.
    Max,
}

impl Source {
    /// What is wrong with it, if anything.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let Self::From(look) = self else { return None };
        let given = [look.key.is_some(), !look.keys.is_empty(), look.column.is_some()];
        if given.iter().filter(|g| **g).count() != 1 {
            return Some("needs exactly one of key, keys, column");
        }
        (look.table.is_some() && look.column.is_none()).then_some("names a table but no column")
    }
}

// By hand, because serde's untagged enums say only "did not match any variant" where a key is misspelt.
impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnySource;
        impl<'de> Visitor<'de> for AnySource {
            type Value = Source;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a number, a text, or a table such as { key = \"EXPTIME\" } or { column = \"exptime\" }")
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Source, E> {
                Ok(Source::Number(v as f64))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Source, E> {
                Ok(Source::Number(v as f64))
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Source, E> {
                Ok(Source::Number(v))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Source, E> {
                Ok(Source::Template(v.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
                Look::deserialize(de::value::MapAccessDeserializer::new(map)).map(|l| Source::From(Box::new(l)))
            }
        }
        deserializer.deserialize_any(AnySource)
    }
}
