//! How much the rows of each class count in training: rare classes may count more.

use std::collections::BTreeMap;

use model::Targets;
use serde::{Serialize, Serializer};

use super::{DataError, Dataset};

/// Largest weight: more is a slip of the keyboard, and one row would undo what all others teach.
pub const WEIGHT_MAX: f64 = 1e6;

/// How much the rows of each class count.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ClassWeights {
    /// All alike.
    #[default]
    Equal,
    /// Each class as much as any other, however many rows it has: rows / (classes x rows of the
    /// class), so that the mean over all rows is 1.
    Balanced,
    /// By the name of the class; those without a name here count 1.
    Table(BTreeMap<String, f64>),
}

impl ClassWeights {
    /// The weight of each class of these training rows; none when all count alike.
    ///
    /// # Errors
    /// When the rows have no classes, or none of such a name.
    pub fn of(&self, rows: &Dataset) -> Result<Vec<f32>, DataError> {
        if *self == Self::Equal {
            return Ok(Vec::new());
        }
        let fail = |problem: String| DataError::content(rows.origin.as_str(), problem);
        let Targets::Classes(targets) = &rows.targets else {
            return Err(fail(
                "holds no classes, which training.class_weights weighs; leave that key out".into(),
            ));
        };
        let classes = &rows.names.classes;
        let Self::Table(table) = self else {
            let mut counts = vec![0_u64; classes.len()];
            targets.iter().for_each(|class| counts[*class as usize] += 1);
            let present = counts.iter().filter(|count| **count > 0).count() as f64;
            let mean = targets.len() as f64 / present.max(1.0);
            let weight = |count: u64| if count == 0 { 1.0 } else { (mean / count as f64) as f32 };
            return Ok(counts.into_iter().map(weight).collect());
        };
        if let Some(stranger) = table.keys().find(|name| !classes.contains(name)) {
            let hint = crate::config::did_you_mean(stranger, classes.iter().map(String::as_str));
            return Err(fail(format!(
                "has no class `{stranger}`, which training.class_weights names{hint}; there is: {}",
                first_of(classes)
            )));
        }
        let weight = |name: &String| table.get(name).map_or(1.0, |weight| *weight as f32);
        Ok(classes.iter().map(weight).collect())
    }
}

/// The first of many names.
fn first_of(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Equal => serializer.serialize_str(""),
            Self::Balanced => serializer.serialize_str("balanced"),
            Self::Table(table) => table.serialize(serializer),
        }
    }
}
