//! Bad specs: each message names the node or key, and the remedy.

use model::{Plan, Spec, TargetKind};

use crate::support::{batch, plan};

/// The message that a spec with these layers gives.
fn layers(layers: &str) -> String {
    whole(&format!("input = [8]\nloss = \"mse\"\noptimizer = \"sgd\"\nlayers = [{layers}]"))
}

fn whole(text: &str) -> String {
    match Spec::from_toml(text).and_then(|spec| Plan::new(&spec)) {
        Ok(_) => panic!("no error: {text}"),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn unknown_words_are_suggested() {
    let unit = layers("{ type = \"dense\", name = \"hidden\", unit = 4 }");
    assert_says(&unit, &["`hidden`", "`unit`", "did you mean `units`?"]);
    let kind = layers("{ type = \"flatten\" }, { type = \"dens\", units = 4 }");
    assert_says(&kind, &["number 2 (dens)", "did you mean `dense`?"]);
    let activation = layers("{ type = \"dense\", units = 4, activation = \"relo\" }");
    assert_says(&activation, &["number 1 (dense)", "`relo`", "did you mean `relu`?"]);
    let flatten = layers("{ type = \"flatten\", units = 3 }");
    assert_says(&flatten, &["flatten", "`units`", "there is: name, input"]);
    let name = layers("{ type = \"flatten\", nmae = \"flat\" }");
    assert_says(&name, &["`nmae`", "did you mean `name`?"]);
    let key = whole("input = [8]\nlos = \"mse\"\noptimizer = \"sgd\"\nlayers = []");
    assert_says(&key, &["`los`", "did you mean `loss`?"]);
    let loss = whole("input = [8]\nloss = \"msr\"\noptimizer = \"sgd\"\nlayers = []");
    assert_says(&loss, &["`loss`", "`msr`", "did you mean `mse`?"]);
    let optimizer = whole(
        "input = [8]\nloss = \"mse\"\noptimizer = { type = \"sgd\", momentun = 0.9 }\nlayers = []",
    );
    assert_says(&optimizer, &["`optimizer`", "did you mean `momentum`?"]);
    assert_says(&"adm".parse::<model::Optimizer>().unwrap_err().to_string(), &["`adam`"]);
}

#[test]
fn wrong_types_and_missing_keys_are_named() {
    let units = layers("{ type = \"dense\", units = \"many\" }");
    assert_says(&units, &["number 1 (dense)", "`units`", "many"]);
    let kernel = layers("{ type = \"conv2d\", filters = 1, kernel_size = [1, 2, 3] }");
    assert_says(&kernel, &["conv2d", "`kernel_size`", "pair"]);
    assert_says(&layers("{ type = \"dense\" }"), &["dense", "`units` is missing"]);
    assert_says(&layers("{ units = 3 }"), &["number 1", "`type` is missing"]);
    assert_says(
        &whole("loss = \"mse\"\noptimizer = \"sgd\"\nlayers = []"),
        &["`input`", "missing"],
    );
    assert_says(&whole("input = [8"), &["not valid TOML"]);
    assert_says(&Spec::from_json("{").unwrap_err().to_string(), &["not valid JSON"]);
}

#[test]
fn impossible_shapes_name_the_node() {
    let dense = "{ type = \"dense\", units = 2 }";
    assert_says(
        &layers("{ type = \"conv2d\", filters = 1, kernel_size = 2 }"),
        &["`conv2d`", "reshape"],
    );
    assert_says(&layers("{ type = \"dense\", units = 0 }"), &["`dense`", "`units` is 0"]);
    assert_says(
        &layers(&format!("{{ type = \"reshape\", target_shape = [3, 3] }}, {dense}")),
        &["`reshape`", "[3, 3]", "8 values"],
    );
    assert_says(
        &layers(&format!("{{ type = \"reshape\", target_shape = [-1, 3] }}, {dense}")),
        &["`reshape`", "8 values"],
    );
    assert_says(
        &layers(&format!("{{ type = \"rescaling\", scale = [1.0, 2.0] }}, {dense}")),
        &["`rescaling`", "2 numbers", "8"],
    );
    assert_says(&layers("{ type = \"dropout\", rate = 1.0 }"), &["`dropout`", "below 1"]);
    assert_says(
        &layers(
            "{ type = \"reshape\", target_shape = [2, 2, 2] }, { type = \"max_pool2d\", pool_size = 3 }",
        ),
        &["`max_pool2d`", "larger", "same"],
    );
    let huge = "{ type = \"reshape\", target_shape = [2, 2, 2] }, { type = \"max_pool2d\", pool_size = 5000, padding = \"same\" }";
    assert_says(&layers(huge), &["`max_pool2d`", "`pool_size` is 5000", "at most"]);
    assert_says(&layers("{ type = \"dense\", units = 4000000000 }"), &["`dense`", "too large"]);
    assert_says(&layers("{ type = \"flatten\" }"), &["`layers`", "dense"]);
    assert_says(
        &whole(
            "input = [4, 4]\nloss = \"categorical_crossentropy\"\noptimizer = \"sgd\"\nlayers = [{ type = \"dense\", name = \"scores\", units = 2 }]",
        ),
        &["`scores`", "flatten"],
    );
    assert_says(
        &whole(
            "input = [4]\nloss = \"mse\"\nmetrics = [\"accuracy\"]\noptimizer = \"sgd\"\nlayers = [{ type = \"dense\", units = 2 }]",
        ),
        &["`metrics`", "accuracy", "mean_squared_error"],
    );
    assert_says(
        &whole(
            "input = [4]\nloss = { type = \"categorical_crossentropy\", from_logits = true }\noptimizer = \"sgd\"\nlayers = [{ type = \"dense\", units = 2, activation = \"softmax\" }]",
        ),
        &["`dense`", "from_logits"],
    );
    assert_says(
        &whole(
            "input = [4]\nloss = \"mse\"\noptimizer = { type = \"sgd\", momentum = 1.0 }\nlayers = [{ type = \"dense\", units = 2 }]",
        ),
        &["`optimizer`", "momentum"],
    );
}

#[test]
fn graphs_that_do_not_hold_together_are_refused() {
    let named = |name: &str, input: &str| {
        format!("{{ type = \"dense\", units = 2, name = \"{name}\", input = \"{input}\" }}")
    };
    assert_says(&layers(&format!("{}, {}", named("a", "b"), named("b", "a"))), &["cycle"]);
    assert_says(&layers(&named("a", "a")), &["`a`", "cycle"]);
    let twice = format!("{}, {}", named("a", "input"), named("a", "input"));
    assert_says(&layers(&twice), &["`a`", "another node has this name"]);
    let stranger = format!("{}, {}", named("first", "input"), named("b", "fist"));
    assert_says(&layers(&stranger), &["`b`", "did you mean `first`?"]);
    let aside = format!("{}, {}", named("aside", "input"), named("b", "input"));
    assert_says(&layers(&aside), &["`aside`", "not on the way"]);
    assert_says(&layers(&named("a.b", "input")), &["`a.b`", "letters"]);
    assert_says(&layers(&named("input", "input")), &["`input`"]);
    let output = "input = [8]\nloss = \"mse\"\noptimizer = \"sgd\"\noutput = \"lsat\"\nlayers = [{ type = \"dense\", name = \"last\", units = 1 }]";
    assert_says(&whole(output), &["`output`", "did you mean `last`?"]);
}

#[test]
fn targets_must_fit_the_loss() {
    let dense = "{ type = \"dense\", units = 3, activation = \"softmax\" }";
    let sparse = plan("[4]", "sparse_categorical_crossentropy", dense);
    assert!(sparse.check_targets(TargetKind::Classes(3)).is_ok());
    let message = |plan: &Plan, kind| plan.check_targets(kind).unwrap_err().to_string();
    assert_says(&message(&sparse, TargetKind::Classes(5)), &["5 classes", "`dense`", "units to 5"]);
    assert_says(&message(&sparse, TargetKind::Values(3)), &["needs classes"]);
    let squared = plan("[4]", "mse", dense);
    assert!(squared.check_targets(TargetKind::Values(3)).is_ok());
    assert_says(&message(&squared, TargetKind::Values(1)), &["`dense`", "units to 1"]);
    assert_says(&message(&squared, TargetKind::Classes(3)), &["needs target values"]);

    let mut trainer = model::Trainer::new(&sparse, &model::cpu()).unwrap();
    let mut wrong = batch(&sparse, 1, 2);
    wrong.targets = model::Targets::Classes(vec![0, 3]);
    let error = pollster::block_on(trainer.step(wrong.clone(), 0.1)).unwrap_err().to_string();
    assert_says(&error, &["class 3", "0 to 2", "`dense`"]);
    wrong.targets = model::Targets::Classes(vec![0, -1]);
    assert!(pollster::block_on(trainer.step(wrong.clone(), 0.1)).is_err());
    wrong.inputs.pop();
    let error = pollster::block_on(trainer.step(wrong, 0.1)).unwrap_err().to_string();
    assert_says(&error, &["8 input values", "7"]);
    assert_says(&trainer.load(&[0.0; 3]).unwrap_err().to_string(), &["15 values", "3"]);
}
