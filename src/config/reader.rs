//! Walks a TOML document section by section and collects complaints with their lines.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::SignedDuration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::complaint::{Complaint, Complaints};
use super::duration;
use super::files::Files;
use super::text_file;

/// A configuration file and what is wrong with it so far.
#[derive(Debug)]
pub(super) struct Document {
    file: PathBuf,
    text: String,
    complaints: RefCell<Vec<Complaint>>,
    warnings: RefCell<Vec<Complaint>>,
    /// All that was read.
    files: RefCell<Files>,
    /// Whether secrets may stand in the environment.
    allows_environment: Cell<bool>,
}

impl Document {
    /// Reads a file. One that cannot be read is like an empty one with a complaint.
    pub(super) fn open(path: &Path) -> Self {
        let mut files = Files::default();
        files.note(path);
        let text = text_file::read(path);
        let document = Self {
            file: path.to_owned(),
            text: text.as_ref().cloned().unwrap_or_default(),
            complaints: RefCell::default(),
            warnings: RefCell::default(),
            files: RefCell::new(files),
            allows_environment: Cell::new(false),
        };
        if let Err(error) = text {
            let problem = format!("cannot be read: {error}");
            document.complain(None, "", problem, "name a readable file with --config");
        }
        document
    }

    /// Returns the file's root table, or complains.
    pub(super) fn parse(&self) -> Option<Spanned<DeTable<'_>>> {
        if !self.complaints.borrow().is_empty() {
            return None;
        }
        let parsed = DeTable::parse(&self.text);
        if let Err(error) = &parsed {
            let line = error.span().map(|span| self.line_of(span.start));
            self.complain(line, "", error.message().to_owned(), "");
        }
        parsed.ok()
    }

    /// The file as it stands.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns all files that were read so far.
    pub(super) fn files(&self) -> Files {
        self.files.borrow().clone()
    }

    /// Returns what is wrong, and what may be meant so and should be known.
    pub(super) fn into_complaints(self) -> (Complaints, Complaints) {
        let sorted = |mut complaints: Vec<Complaint>| {
            complaints.sort_by_key(|complaint| (complaint.line.is_none(), complaint.line));
            Complaints(complaints)
        };
        (sorted(self.complaints.into_inner()), sorted(self.warnings.into_inner()))
    }

    fn complain(&self, line: Option<usize>, key: &str, problem: String, remedy: &str) {
        self.complaints.borrow_mut().push(self.complaint(line, key, problem, remedy));
    }

    fn complaint(&self, line: Option<usize>, key: &str, problem: String, remedy: &str) -> Complaint {
        Complaint { file: self.file.clone(), line, key: key.to_owned(), problem, remedy: remedy.to_owned() }
    }

    fn line_of(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or_default();
        before.matches('\n').count().saturating_add(1)
    }
}

/// One table of the document, and which of its keys have been read.
#[derive(Debug)]
pub(super) struct Section<'d> {
    document: &'d Document,
    /// Its keys from the root, joined by dots; empty for the root.
    path: String,
    line: Option<usize>,
    table: Option<&'d DeTable<'d>>,
    read: RefCell<BTreeSet<&'static str>>,
}

impl<'d> Section<'d> {
    pub(super) fn root(document: &'d Document, table: &'d Spanned<DeTable<'d>>) -> Self {
        Self::new(document, String::new(), None, Some(table.get_ref()))
    }

    fn new(
        document: &'d Document,
        path: String,
        line: Option<usize>,
        table: Option<&'d DeTable<'d>>,
    ) -> Self {
        Self { document, path, line, table, read: RefCell::default() }
    }

    fn value(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.read.borrow_mut().insert(key);
        self.table?.get(key)
    }

    fn full(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// Complains about a key, at its line, or at the section's if it is not there.
    pub(super) fn complain(&self, key: &str, problem: impl Into<String>, remedy: &str) {
        let value = self.table.and_then(|table| table.get(key));
        let line = value.map(|value| self.document.line_of(value.span().start)).or(self.line);
        self.document.complain(line, &self.full(key), problem.into(), remedy);
    }

    /// Tells of a key that may be meant so and should be known.
    pub(super) fn warn(&self, key: &str, problem: impl Into<String>, remedy: &str) {
        let value = self.table.and_then(|table| table.get(key));
        let line = value.map(|value| self.document.line_of(value.span().start)).or(self.line);
        let warning = self.document.complaint(line, &self.full(key), problem.into(), remedy);
        self.document.warnings.borrow_mut().push(warning);
    }

    /// Reads a value of one type; another type is a complaint.
    fn typed<T>(
        &self,
        key: &'static str,
        wanted: &str,
        read: impl FnOnce(&'d DeValue<'d>) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(key)?.get_ref();
        let found = read(value);
        if found.is_none() {
            self.complain(key, format!("{} found", value.type_str()), &format!("write {wanted}"));
        }
        found
    }

    /// Says whether a key is there.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// Notes a file that the configuration depends on, before it is read.
    pub(super) fn note_file(&self, path: &Path) {
        self.document.files.borrow_mut().note(path);
    }

    /// Notes a file with a secret, before it is read.
    pub(super) fn note_secret(&self, path: &Path) {
        self.document.files.borrow_mut().note_secret(path);
    }

    /// Lets secrets stand in the environment.
    pub(super) fn allow_environment(&self, allowed: bool) {
        self.document.allows_environment.set(allowed);
    }

    /// Says whether secrets may stand in the environment.
    pub(super) fn allows_environment(&self) -> bool {
        self.document.allows_environment.get()
    }

    pub(super) fn text(&self, key: &'static str) -> Option<&'d str> {
        self.typed(key, "a text in quotes", DeValue::as_str)
    }

    /// Reads an array of texts; `None` if it is not there.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<&'d str>> {
        let items = self.typed(key, "an array of texts", DeValue::as_array)?;
        let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
        if texts.is_none() {
            self.complain(key, "holds something that is no text", "write [\"...\", \"...\"]");
        }
        texts
    }

    pub(super) fn required_text(&self, key: &'static str, remedy: &str) -> Option<&'d str> {
        self.require(key, remedy);
        self.text(key)
    }

    /// Complains if a key is missing.
    pub(super) fn require(&self, key: &'static str, remedy: &str) {
        if self.value(key).is_none() {
            self.complain(key, "is missing", remedy);
        }
    }

    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        self.typed(key, "true or false", DeValue::as_bool)
    }

    pub(super) fn integer(&self, key: &'static str) -> Option<i64> {
        self.typed(key, "a whole number", |value| {
            let number = value.as_integer()?;
            i64::from_str_radix(number.as_str(), number.radix()).ok()
        })
    }

    /// Reads a number with or without decimals.
    pub(super) fn number(&self, key: &'static str) -> Option<f64> {
        self.typed(key, "a number", |value| match value {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => None,
        })
    }

    pub(super) fn duration(&self, key: &'static str) -> Option<SignedDuration> {
        let text = self.text(key)?;
        let parsed = duration::parse(text);
        if parsed.is_none() {
            let problem = format!("{text:?} is no duration");
            self.complain(key, problem, "write a number with s, m, h or d, such as \"60m\"");
        }
        parsed
    }

    /// Reads a text as the value that it stands for.
    pub(super) fn parse<T>(&self, key: &'static str, text: &str, remedy: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.complain(key, format!("{error}"), remedy);
                None
            }
        }
    }

    /// A time, written as TOML writes times or as a text.
    pub(super) fn time_text(&self, key: &'static str) -> Option<String> {
        self.typed(key, "a time such as 2027-01-31T00:00:00Z", |value| {
            let datetime = value.as_datetime().map(ToString::to_string);
            datetime.or_else(|| value.as_str().map(ToOwned::to_owned))
        })
    }

    /// A table that must be there.
    pub(super) fn section(&self, key: &'static str) -> Option<Self> {
        if self.value(key).is_none() {
            self.complain(key, "the section is missing", &format!("add [{}]", self.full(key)));
            return None;
        }
        self.section_if_there(key)
    }

    /// A table that may be missing; then it is empty.
    pub(super) fn section_or_empty(&self, key: &'static str) -> Self {
        let empty = || Self::new(self.document, self.full(key), None, None);
        self.section_if_there(key).unwrap_or_else(empty)
    }

    /// A table that may be missing.
    pub(super) fn section_if_there(&self, key: &'static str) -> Option<Self> {
        let span = self.value(key)?.span();
        let table = self.typed(key, "a table", DeValue::as_table)?;
        Some(self.child(self.full(key), span.start, table))
    }

    fn child(&self, path: String, offset: usize, table: &'d DeTable<'d>) -> Self {
        Self::new(self.document, path, Some(self.document.line_of(offset)), Some(table))
    }

    /// The tables in an array.
    pub(super) fn list(&self, key: &'static str) -> Vec<Self> {
        let Some(items) = self.typed(key, "an array of tables", DeValue::as_array) else {
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match item.get_ref().as_table() {
                Some(table) => {
                    let path = format!("{}[{index}]", self.full(key));
                    sections.push(self.child(path, item.span().start, table));
                }
                None => self.complain(key, "holds something that is no table", "write [{ file = \"...\" }]"),
            }
        }
        sections
    }

    /// The tables in this one, with their names.
    pub(super) fn named(&self) -> Vec<(&'d str, Self)> {
        let mut sections = Vec::new();
        for (name, value) in self.table.into_iter().flatten() {
            let name: &'d str = name.get_ref();
            let path = self.full(name);
            match value.get_ref().as_table() {
                Some(table) => sections.push((name, self.child(path, value.span().start, table))),
                None => self.complain(name, "is no table", &format!("write [{path}]")),
            }
        }
        sections
    }

    /// Returns a path as the file means it: relative to where the file lies.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.document.file.parent().unwrap_or(Path::new(".")).join(path)
    }

    /// Complains about keys that nobody has read.
    pub(super) fn finish(&self) {
        let read = self.read.borrow();
        for key in self.table.into_iter().flat_map(|table| table.keys()) {
            let key: &str = key.get_ref();
            if read.contains(key) {
                continue;
            }
            let near = read.iter().map(|known| (strsim::damerau_levenshtein(known, key), known));
            let remedy = match near.min().filter(|(distance, _)| *distance <= 2) {
                Some((_, known)) => format!("do you mean {known}?"),
                None => format!("the keys here are {}", read.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            self.complain(key, "is not a key of this section", &remedy);
        }
    }
}
