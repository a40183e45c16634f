//! Tests of splits, shards and batches.

use std::collections::BTreeMap;

use model::Targets;
use proptest::prelude::*;
use protocol::limits::SHARD_BYTES_MAX;
use protocol::shard::{INPUT, Shard, TARGET};

use super::csv_file;
use crate::data::*;

#[test]
fn a_model_of_another_shape_or_width_is_refused() {
    let plan = |input: &str, units: u32| {
        let text = format!(
            "input = {input}\nloss = \"sparse_categorical_crossentropy\"\noptimizer = \"sgd\"\n\
             layers = [{{ type = \"flatten\" }}, {{ type = \"dense\", units = {units}, activation = \"softmax\" }}]"
        );
        Plan::new(&model::Spec::from_toml(&text).unwrap()).unwrap()
    };
    let dataset = sample(4, &[2, 3]);
    for fits in ["[2, 3]", "[2, 3, 1]", "[6]"] {
        dataset.check(&plan(fits, 3)).unwrap();
    }
    let message = dataset.check(&plan("[3, 2]", 3)).unwrap_err().to_string();
    assert_eq!(
        message,
        "sample: its samples have shape [2, 3] (6 values), but the model's input is [3, 2] (6): \
         set `input` of the model to [2, 3]"
    );
    assert!(dataset.check(&plan("[2, 3]", 2)).is_err(), "three classes, two outputs");
}

/// `rows` samples whose values and class say which row they are.
fn sample(rows: usize, shape: &[u32]) -> Dataset {
    let elements = shape.iter().product::<u32>() as usize;
    Dataset {
        inputs: Inputs::Floats(
            (0..rows).flat_map(|row| std::iter::repeat_n(row as f32, elements)).collect(),
        ),
        shape: shape.to_vec(),
        targets: Targets::Classes((0..rows as i32).collect()),
        names: Names { classes: vec!["a".into(), "b".into(), "c".into()], ..Names::default() },
        origin: "sample".to_owned(),
    }
}

fn classes_of(dataset: &Dataset) -> Vec<i32> {
    match &dataset.targets {
        Targets::Classes(classes) => classes.clone(),
        Targets::Values { .. } => Vec::new(),
    }
}

/// The rows that the shards hold, each with its sample.
fn rows_of(shards: &[Cut]) -> Vec<(i32, Vec<f32>)> {
    let mut rows = Vec::new();
    for Cut { digest, bytes, rows: count } in shards {
        assert_eq!(*digest, protocol::Digest::of(bytes));
        assert!(bytes.len() <= SHARD_BYTES_MAX);
        let shard = Shard::decode(bytes).unwrap();
        assert_eq!(shard.rows(), *count);
        for row in 0..*count {
            let (mut class, mut values) = (Vec::new(), Vec::new());
            shard.column(TARGET).unwrap().extend_i32(row, &mut class);
            shard.column(INPUT).unwrap().extend_f32(row, &mut values);
            rows.push((class[0], values));
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn shards_hold_every_row_once(rows in 1_usize..400, side in 1_u32..3000, seed: u64) {
        let dataset = sample(rows, &[side]);
        let shards = cut(&dataset, seed, &[]).unwrap();
        let (fewest, most) = shards.iter().fold((u32::MAX, 0), |(low, high), shard| {
            (low.min(shard.rows), high.max(shard.rows))
        });
        prop_assert!(most - fewest <= 1, "nearly equal");
        let mut held = rows_of(&shards);
        held.sort_by_key(|(class, _)| *class);
        for (row, (class, values)) in held.iter().enumerate() {
            prop_assert_eq!(*class, row as i32);
            prop_assert!(values.len() == side as usize && values.iter().all(|v| *v == row as f32));
        }
        prop_assert_eq!(held.len(), rows);
    }

    #[test]
    fn splits_hold_every_row_once(
        rows in 3_usize..300,
        validation in 0.0_f64..0.9,
        test in 0.0_f64..0.9,
        seed: u64,
    ) {
        let mut text = String::from("x,kind\n");
        (0..rows).for_each(|row| text.push_str(&format!("{row},{row}\n")));
        let (_folder, path) = csv_file(&text);
        let source = Source::Table(path);
        let division = |seed| Division {
            source: &source,
            test: None,
            columns: Columns::numbers("kind"),
            validation_split: validation,
            test_split: test,
            seed,
        };
        // Of three rows, two splits may leave one that cannot be divided: an error, no empty part.
        let Ok(splits) = Splits::load(division(seed), LabelKind::Class) else {
            return Ok(());
        };
        let part = |part: &Option<Dataset>| part.as_ref().map(classes_of).unwrap_or_default();
        let mut seen = classes_of(&splits.train);
        prop_assert!(!seen.is_empty());
        prop_assert_eq!(splits.validation.is_some(), validation > 0.0);
        prop_assert_eq!(splits.test.is_some(), test > 0.0);
        seen.extend(part(&splits.validation));
        seen.extend(part(&splits.test));
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..rows as i32).collect::<Vec<_>>());
        let again = Splits::load(division(seed), LabelKind::Class).unwrap();
        prop_assert_eq!(part(&again.validation), part(&splits.validation));
        prop_assert_eq!(again.train, splits.train);
    }
}

#[test]
fn another_seed_splits_and_cuts_otherwise() {
    let source = Source::Embedded("digits".to_owned());
    let division = |seed| Division {
        source: &source,
        test: Some(&source),
        columns: Columns::default(),
        validation_split: 0.1,
        test_split: 0.0,
        seed,
    };
    let [first, second] =
        [1, 2].map(|seed| Splits::load(division(seed), LabelKind::Class).unwrap());
    assert_eq!(
        (first.train.rows(), first.validation.as_ref().map(Dataset::rows)),
        (7200, Some(800))
    );
    assert_eq!(first.test.as_ref().map(Dataset::rows), Some(2000));
    assert_ne!(first.train, second.train);
    let digests = |seed| -> Vec<_> {
        cut(&first.train, seed, &[]).unwrap().into_iter().map(|shard| shard.digest).collect()
    };
    assert_eq!(digests(1), digests(1));
    assert_ne!(digests(1), digests(2));
    let bytes: usize =
        cut(&first.train, 1, &[]).unwrap().iter().map(|shard| shard.bytes.len()).sum();
    assert!(bytes < 7200 * (784 + 4) + 1000, "pixels travel as bytes: {bytes}");
}

#[test]
fn the_examples_fit_their_data() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut jobs = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let job = crate::config::resolve(Some(&path), &[], &[]).unwrap();
        let plan = Plan::new(&job.model).unwrap();
        let splits = Splits::load(job.division(), LabelKind::of(job.model.loss)).unwrap();
        for part in [Some(&splits.train), splits.validation.as_ref(), splits.test.as_ref()] {
            part.unwrap().check(&plan).unwrap();
        }
        jobs += 1;
    }
    assert!(jobs >= 2, "{jobs} job files");
}

#[test]
fn a_sample_larger_than_a_shard_is_an_error() {
    let message = cut(&sample(1, &[1 << 18]), 1, &[]).unwrap_err().to_string();
    assert_eq!(
        message,
        "sample: one sample takes 1048580 bytes, more than a shard may hold (1048320); make the \
         samples smaller"
    );
}

#[test]
fn batches_hold_every_row_in_order() {
    let dataset = sample(7, &[2]);
    let batches: Vec<_> = batches(&dataset, 3).collect();
    assert_eq!(batches.iter().map(|batch| batch.count).collect::<Vec<_>>(), [3, 3, 1]);
    let inputs: Vec<f32> = batches.iter().flat_map(|batch| batch.inputs.clone()).collect();
    assert_eq!(Inputs::Floats(inputs), dataset.inputs);
    let counts: BTreeMap<_, _> =
        batches.iter().map(|batch| (batch.count, batch.targets.clone())).collect();
    assert_eq!(counts[&1], Targets::Classes(vec![6]));
}
