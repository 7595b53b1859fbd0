//! What files say about GPUs.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{LoadError, Text};
use crate::request::Said;
use crate::request::gpu::GpuOptions;

/// `gpu = "auto"`, `gpu = true`, `gpu = [0, "mig:1/1/0"]`, `gpu = 0`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "gpu is \"auto\", \"off\", \"all\", \"visible\", true, false, an index or a list of GPUs"
)]
pub(in crate::request) enum GpuValue {
    Word(String),
    Switch(bool),
    One(u32),
    List(Vec<GpuItem>),
}

/// An item of a list of GPUs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(in crate::request) enum GpuItem {
    Index(u32),
    Selector(String),
}

/// `gpu_class = "graphics"`, `gpu_class = ["compute", "rdma"]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "gpu_class is a word or a list of words, such as \"compute\"")]
pub(super) enum ClassValue {
    One(String),
    List(Vec<String>),
}

impl GpuValue {
    pub(in crate::request) fn text(&self) -> String {
        match self {
            Self::Word(word) => word.clone(),
            Self::Switch(on) => on.to_string(),
            Self::One(index) => index.to_string(),
            Self::List(list) => list.iter().map(GpuItem::text).collect::<Vec<_>>().join(","),
        }
    }
}

impl GpuItem {
    fn text(&self) -> String {
        match self {
            Self::Index(index) => index.to_string(),
            Self::Selector(word) => word.clone(),
        }
    }
}

impl ClassValue {
    pub(super) fn text(self) -> String {
        match self {
            Self::One(word) => word,
            Self::List(words) => words.join(","),
        }
    }
}

impl Text<'_> {
    pub(super) fn gpu(
        &self,
        gpu: Option<Spanned<GpuValue>>,
        passthrough: Option<Spanned<bool>>,
    ) -> Result<Option<Said<String>>, LoadError> {
        match (gpu, passthrough) {
            (Some(_), Some(switch)) => {
                Err(self.error(switch.span(), "gpu and gpu_passthrough say the same thing: keep one".to_owned()))
            }
            (Some(value), None) => {
                let said = self.said(value);
                Ok(Some(Said::new(said.value.text(), said.by)))
            }
            (None, Some(switch)) => {
                let said = self.said(switch);
                Ok(Some(Said::new(said.value.to_string(), said.by)))
            }
            (None, None) => Ok(None),
        }
    }

    pub(super) fn gpu_options(
        &self,
        class: Option<Spanned<ClassValue>>,
        hide_others: Option<Spanned<bool>>,
        cdi_dirs: Vec<Spanned<PathBuf>>,
    ) -> GpuOptions {
        GpuOptions {
            class: class.map(|value| self.said(value)).map(|said| Said::new(said.value.text(), said.by)),
            hide_others: hide_others.map(|value| self.said(value)),
            cdi_dirs: self.paths(cdi_dirs),
        }
    }
}
