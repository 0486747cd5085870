//! What a signature covers: a template of literals, `{id}`, `{timestamp}` and `{body}`.

use std::str::FromStr;

/// The longest template taken; the longest known has 18 characters.
const BYTES_MAX: usize = 200;

/// A piece of what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    Id,
    Timestamp,
    Body,
}

/// What a signature covers, such as `{id}.{timestamp}.{body}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

/// What is wrong with a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The body stands in it never, or more than once.
    #[error("must contain {{body}} exactly once: what is not signed proves nothing")]
    Body,
    /// Something stands in it more than once.
    #[error("contains {{id}} or {{timestamp}} more than once")]
    Repeated,
    /// Something in braces that is not known.
    #[error("contains braces that are none of {{id}}, {{timestamp}} and {{body}}")]
    Unknown,
    /// Too long.
    #[error("is longer than 200 characters")]
    TooLong,
    /// Where one ends and the other begins could not be told.
    #[error(
        "has {{id}} right beside {{timestamp}} or {{body}}: put a full stop between them, which no id holds"
    )]
    Ambiguous,
}

impl Template {
    /// Says whether the signature covers the sender's id of the delivery.
    pub fn has_id(&self) -> bool {
        self.0.contains(&Piece::Id)
    }

    /// Says whether the signature covers a time.
    pub fn has_timestamp(&self) -> bool {
        self.0.contains(&Piece::Timestamp)
    }

    /// Returns what is signed, in pieces that stand one after the other.
    pub(super) fn fill<'a>(&'a self, id: &'a str, timestamp: &'a str, body: &'a [u8]) -> Vec<&'a [u8]> {
        let piece = |piece: &'a Piece| match piece {
            Piece::Literal(text) => text.as_bytes(),
            Piece::Id => id.as_bytes(),
            Piece::Timestamp => timestamp.as_bytes(),
            Piece::Body => body,
        };
        self.0.iter().map(piece).collect()
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        if text.len() > BYTES_MAX {
            return Err(TemplateError::TooLong);
        }
        let pieces = pieces(text)?;
        let count = |wanted: &Piece| pieces.iter().filter(|piece| *piece == wanted).count();
        if count(&Piece::Body) != 1 {
            return Err(TemplateError::Body);
        }
        if count(&Piece::Id) > 1 || count(&Piece::Timestamp) > 1 {
            return Err(TemplateError::Repeated);
        }
        let is_literal = |piece: &Piece| matches!(piece, Piece::Literal(_));
        let touches = |pair: &[Piece]| pair.contains(&Piece::Id) && !pair.iter().any(is_literal);
        if pieces.windows(2).any(touches) {
            return Err(TemplateError::Ambiguous);
        }
        Ok(Self(pieces))
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (literal, found) = rest.split_at(rest.find(['{', '}']).unwrap_or(rest.len()));
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        let known = [("{id}", Piece::Id), ("{timestamp}", Piece::Timestamp), ("{body}", Piece::Body)];
        let next = known.into_iter().find_map(|(name, piece)| Some((piece, found.strip_prefix(name)?)));
        rest = match next {
            Some((piece, after)) => {
                pieces.push(piece);
                after
            }
            None if found.is_empty() => found,
            None => return Err(TemplateError::Unknown),
        };
    }
    Ok(pieces)
}
