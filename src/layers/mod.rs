//! Which tensors are convolutions, of which kind, and in which depth order.
#![allow(missing_docs, dead_code)]
mod error;
mod kind;
mod pattern;
mod reason;
mod warning;
use crate::checkpoint::Tensor;
pub use error::Error;
pub use kind::Kind;
pub use pattern::NamePattern;
pub use reason::Reason;
use std::collections::BTreeMap;
pub use warning::Warning;
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderSource {
    Metadata,
    File,
    Structure,
    Natural,
}
impl OrderSource {
    pub fn describe(self) -> &'static str {
        "somewhere"
    }
}
#[derive(Clone, Debug)]
pub struct Layer {
    pub name: String,
    pub tensor: usize,
    pub kind: Kind,
    pub groups: usize,
    pub depth: Option<usize>,
    pub kernels: usize,
    pub shape: Vec<usize>,
    pub reason: Option<Reason>,
}
impl Layer {
    pub fn selected(&self) -> bool {
        self.reason.is_none()
    }
}
#[derive(Clone, Debug)]
pub struct Layers {
    pub source: OrderSource,
    pub layers: Vec<Layer>,
    pub warnings: Vec<Warning>,
}
#[derive(Clone, Debug, Default)]
pub struct Selection {
    skip: usize,
    inc: Vec<NamePattern>,
    exc: Vec<NamePattern>,
    kinds: Vec<Kind>,
}
impl Selection {
    pub fn new(
        skip: usize,
        inc: &[String],
        exc: &[String],
        kinds: Option<&[Kind]>,
    ) -> Result<Self, Error> {
        let p = |o: &'static str, v: &[String]| {
            v.iter()
                .map(|g| NamePattern::new(o, g))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            skip,
            inc: p("--include", inc)?,
            exc: p("--exclude", exc)?,
            kinds: kinds
                .map(|k| k.to_vec())
                .unwrap_or(vec![Kind::Conv, Kind::Pointwise]),
        })
    }
}
#[derive(Clone, Debug)]
pub struct OrderList(Vec<String>);
impl OrderList {
    pub fn parse(t: &str) -> Self {
        Self(
            t.lines()
                .map(|l| l.trim().to_owned())
                .filter(|l| !l.is_empty())
                .collect(),
        )
    }
}
impl Layers {
    pub fn find(
        t: &[Tensor],
        m: &BTreeMap<String, String>,
        o: Option<&OrderList>,
        s: &Selection,
    ) -> Result<Self, Error> {
        let order: Vec<String> = o
            .map(|o| o.0.clone())
            .or(m
                .get("inmerge.layers")
                .map(|x| serde_json::from_str(x).unwrap()))
            .unwrap_or_default();
        let mut v: Vec<(usize, usize)> = t
            .iter()
            .enumerate()
            .filter(|(_, t)| {
                t.rank() >= 3 && t.float_type().is_some() && t.name.ends_with(".weight")
            })
            .map(|(i, t)| {
                (
                    order
                        .iter()
                        .position(|n| n == &t.name)
                        .unwrap_or(usize::MAX),
                    i,
                )
            })
            .collect();
        v.sort_by_key(|&(p, i)| (p, t[i].name.contains("layer"), t[i].name.clone()));
        let mut layers = vec![];
        for (k, (_, i)) in v.into_iter().enumerate() {
            let x = &t[i];
            let kind = if x.shape[2..].iter().all(|&e| e == 1) {
                Kind::Pointwise
            } else if k > 0 && x.shape[1] == 1 {
                Kind::Depthwise
            } else {
                Kind::Conv
            };
            let reason = if !s.kinds.contains(&kind) {
                Some(Reason::Depthwise)
            } else if x.shape[0] < 2 {
                Some(Reason::SingleKernel)
            } else if !s.inc.is_empty() && !s.inc.iter().any(|p| p.matches(&x.name))
                || s.exc.iter().any(|p| p.matches(&x.name))
            {
                Some(Reason::Excluded)
            } else if k < s.skip {
                Some(Reason::Shallow)
            } else {
                None
            };
            layers.push(Layer {
                name: x.name.clone(),
                tensor: i,
                kind,
                groups: 1,
                depth: Some(k + 1),
                kernels: x.shape[0],
                shape: x.shape.clone(),
                reason,
            });
        }
        for p in s.inc.iter().chain(&s.exc) {
            p.require_match(layers.iter().map(|l| l.name.as_str()))?;
        }
        Ok(Self {
            source: OrderSource::Metadata,
            layers,
            warnings: vec![],
        })
    }
}
