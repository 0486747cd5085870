//! Change freezes: times in which nothing is sent without a person. All times are UTC.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

/// A time in which nothing is sent without a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// When it is.
    pub when: When,
    /// Why, for whoever reads the reason of a hold.
    pub reason: String,
}

/// When a freeze is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Once, from a moment to another.
    Once {
        /// The first moment.
        from: Timestamp,
        /// The first moment after it.
        until: Timestamp,
    },
    /// Every week on these days.
    Weekly {
        /// The days on which it begins.
        days: Vec<Weekday>,
        /// Minutes after midnight at which it begins.
        from: u16,
        /// Minutes after midnight at which it ends; if that is not later, on the next day.
        until: u16,
    },
}

impl Freeze {
    /// Says whether it is in force.
    pub fn covers(&self, now: Timestamp) -> bool {
        match &self.when {
            When::Once { from, until } => *from <= now && now < *until,
            When::Weekly { days, from, until } => {
                let local = now.to_zoned(TimeZone::UTC);
                let minute = minute_of_day(local.hour(), local.minute());
                let (today, yesterday) = (local.weekday(), local.weekday().previous());
                if from < until {
                    return days.contains(&today) && (*from..*until).contains(&minute);
                }
                (days.contains(&today) && minute >= *from) || (days.contains(&yesterday) && minute < *until)
            }
        }
    }
}

fn minute_of_day(hour: i8, minute: i8) -> u16 {
    let hour = u16::try_from(hour).unwrap_or(0);
    hour.saturating_mul(60).saturating_add(u16::try_from(minute).unwrap_or(0))
}
