//! Numbers that keep the digits they were written with.

use std::cmp::Ordering;
use std::fmt;

use super::value::Text;

/// From here on not every integer is a floating-point number: 2 to the 53rd.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

/// What is compared exactly has fewer digits than `i128` can hold.
const COMPARED_BELOW: f64 = 1e38;

/// A JSON number. None is NaN.
#[derive(Debug, Clone)]
pub(super) enum Number<'p> {
    /// An integer that a machine computes with.
    Whole(i64),
    /// What a computation gave.
    Float(f64),
    /// Any other number of a payload, as it is written there.
    Written(Text<'p>),
}

impl<'p> Number<'p> {
    /// Reads a number that is known to be one: integers become values, everything else stays text.
    pub(super) fn read(text: Text<'p>) -> Self {
        match text.parse() {
            Ok(whole) if *text != *"-0" => Self::Whole(whole),
            _ => Self::Written(text),
        }
    }

    /// What a computation gave; `None` if it is no number.
    fn computed(number: f64) -> Option<Self> {
        (!number.is_nan()).then_some(Self::Float(number))
    }

    pub(super) fn detached<'other>(&self) -> Number<'other> {
        match self {
            Self::Whole(number) => Number::Whole(*number),
            Self::Float(number) => Number::Float(*number),
            Self::Written(text) => Number::Written(text.detached()),
        }
    }

    /// How many bytes are read to compute with it.
    pub(super) fn written_len(&self) -> usize {
        match self {
            Self::Whole(_) | Self::Float(_) => 0,
            Self::Written(text) => text.len(),
        }
    }

    fn as_f64(&self) -> f64 {
        match self {
            Self::Whole(number) => nearest(*number),
            Self::Float(number) => *number,
            // JSON's numbers are all read; what is too large is infinite.
            Self::Written(text) => text.parse().unwrap_or_default(),
        }
    }

    pub(super) fn plus(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one.checked_add(*other).map(Self::Whole),
            _ => None,
        }
        .or_else(|| Self::computed(self.as_f64() + other.as_f64()))
    }

    pub(super) fn minus(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one.checked_sub(*other).map(Self::Whole),
            _ => None,
        }
        .or_else(|| Self::computed(self.as_f64() - other.as_f64()))
    }

    /// `None` if the divisor is zero.
    pub(super) fn divided(&self, by: &Self) -> Option<Self> {
        let by = by.as_f64();
        if by == 0.0 { None } else { Self::computed(self.as_f64() / by) }
    }

    /// `None` if the divisor is zero.
    pub(super) fn remainder(&self, by: &Self) -> Option<Self> {
        if let (Self::Whole(one), Self::Whole(by)) = (self, by) {
            return if *by == 0 { None } else { Some(Self::Whole(one.checked_rem(*by).unwrap_or(0))) };
        }
        Self::computed(self.as_f64() % by.as_f64())
    }

    pub(super) fn negative(&self) -> Self {
        match self {
            Self::Whole(number) => match number.checked_neg() {
                Some(negative) => Self::Whole(negative),
                None => Self::Float(-nearest(*number)),
            },
            Self::Float(number) => Self::Float(-number),
            Self::Written(text) => Self::Written(match text.strip_prefix('-') {
                Some(positive) => Text::Made(positive.into()),
                None => Text::Made(format!("-{}", &**text).into()),
            }),
        }
    }

    pub(super) fn floor(&self) -> Self {
        if matches!(self, Self::Whole(_)) || self.integer_digits().is_some() {
            return self.clone();
        }
        let floor = self.as_f64().floor();
        format!("{floor:.0}").parse().map_or(Self::Float(floor), Self::Whole)
    }

    /// The digits of an integer that was too long for a machine's.
    fn integer_digits(&self) -> Option<&str> {
        match self {
            Self::Written(text) if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') => Some(text),
            _ => None,
        }
    }

    /// The exact value of a number near 2 to the 53rd or above it.
    fn exact(&self, near: f64) -> Option<i128> {
        match self {
            Self::Whole(number) => Some((*number).into()),
            _ => match self.integer_digits() {
                Some(digits) => digits.parse().ok(),
                None => format!("{near:.0}").parse().ok(),
            },
        }
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "the nearest floating-point number is what is meant; the standard library has no other way"
)]
fn nearest(number: i64) -> f64 {
    number as f64
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number<'_> {}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number<'_> {
    /// By the nearest floating-point numbers; where these are the same, exactly.
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Self::Whole(one), Self::Whole(other)) = (self, other) {
            return one.cmp(other);
        }
        // Adding zero makes the negative zero positive.
        let (one, two) = (self.as_f64() + 0.0, other.as_f64() + 0.0);
        let near = one.total_cmp(&two);
        if near.is_ne() || one.abs() < EXACT_BELOW || one.abs() >= COMPARED_BELOW {
            return near;
        }
        self.exact(one).cmp(&other.exact(two))
    }
}

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            // Beyond the largest number JSON has no word.
            Self::Float(number) if number.is_infinite() => {
                f.write_str(if *number > 0.0 { "1e999" } else { "-1e999" })
            }
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Written(text) => f.write_str(text),
        }
    }
}
