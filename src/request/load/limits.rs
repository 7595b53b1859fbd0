//! What files say about limits: numbers, or text as the flags take it.

use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;

use super::{LoadError, Text};
use crate::request::Said;
use crate::request::limits::Limits;

/// `"512M"`, `"unlimited"`, `256`, `1.5`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a limit is a number, or text such as \"512M\" or \"unlimited\"")]
pub(super) enum LimitValue {
    Whole(i64),
    Decimal(f64),
    Text(String),
}

/// The keys about limits.
#[derive(Debug, Default)]
pub(super) struct LimitValues {
    pub memory: Option<Spanned<LimitValue>>,
    pub pids: Option<Spanned<LimitValue>>,
    pub cpus: Option<Spanned<LimitValue>>,
    pub open_files: Option<Spanned<LimitValue>>,
    pub file_size: Option<Spanned<LimitValue>>,
    pub tmp_size: Option<Spanned<LimitValue>>,
    pub timeout: Option<Spanned<String>>,
    pub idle_timeout: Option<Spanned<String>>,
    pub cgroup: Option<Spanned<PathBuf>>,
}

impl Text<'_> {
    pub(super) fn limits(&self, values: LimitValues) -> Result<Limits, LoadError> {
        let LimitValues { memory, pids, cpus, open_files, file_size, tmp_size, timeout, idle_timeout, cgroup } = values;
        Ok(Limits {
            memory: self.limit(memory)?,
            pids: self.limit(pids)?,
            cpus: self.limit(cpus)?,
            open_files: self.limit(open_files)?,
            file_size: self.limit(file_size)?,
            tmp_size: self.limit(tmp_size)?,
            timeout: timeout.map(|value| self.timeout(value)).transpose()?,
            idle_timeout: idle_timeout.map(|value| self.timeout(value)).transpose()?,
            cgroup: cgroup.map(|value| self.path(self.said(value))),
        })
    }

    fn limit<T: FromStr<Err = String>>(
        &self,
        value: Option<Spanned<LimitValue>>,
    ) -> Result<Option<Said<T>>, LoadError> {
        let Some(value) = value else { return Ok(None) };
        let span = value.span();
        let said = self.said(value);
        let text = match said.value {
            LimitValue::Whole(number) => number.to_string(),
            LimitValue::Decimal(number) => number.to_string(),
            LimitValue::Text(text) => text,
        };
        Ok(Some(Said::new(text.parse().map_err(|message| self.error(span, message))?, said.by)))
    }
}
