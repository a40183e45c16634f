//! Output shapes, names, parameters, and the spec's round trip.

use model::{Plan, Spec};

use crate::support::plan;

fn shape(input: &str, layers: &str) -> Vec<u32> {
    // A dense node after it, so that there is something to train.
    let plan = plan(input, "mse", &format!("{layers}, {{ type = \"dense\", units = 1 }}"));
    let mut shape = plan.output_shape().to_vec();
    shape.pop();
    shape
}

#[test]
fn windows_follow_tensorflow() {
    let conv = |size: &str, strides: &str, padding: &str| {
        let layer = format!(
            "{{ type = \"conv2d\", filters = 4, kernel_size = {size}, strides = {strides}, padding = \"{padding}\" }}"
        );
        shape("[7, 6, 3]", &layer)
    };
    assert_eq!(conv("3", "1", "valid"), [5, 4]);
    assert_eq!(conv("3", "1", "same"), [7, 6]);
    assert_eq!(conv("3", "2", "valid"), [3, 2]);
    assert_eq!(conv("3", "2", "same"), [4, 3]);
    assert_eq!(conv("[2, 5]", "[3, 1]", "same"), [3, 6]);
    assert_eq!(conv("[2, 5]", "[3, 1]", "valid"), [2, 2]);
    // A window smaller than its stride.
    assert_eq!(conv("1", "3", "same"), [3, 2]);
    for pool in ["max_pool2d", "average_pool2d"] {
        assert_eq!(shape("[7, 6, 3]", &format!("{{ type = \"{pool}\" }}")), [3, 3]);
        let same = format!("{{ type = \"{pool}\", padding = \"same\" }}");
        assert_eq!(shape("[7, 6, 3]", &same), [4, 3]);
        let strides = format!("{{ type = \"{pool}\", pool_size = 3, strides = [1, 2] }}");
        assert_eq!(shape("[7, 6, 3]", &strides), [5, 2]);
    }
}

#[test]
fn other_nodes_keep_or_change_axes() {
    assert_eq!(shape("[7, 6, 3]", "{ type = \"global_average_pool2d\" }"), [0_u32; 0]);
    assert_eq!(shape("[7, 6, 3]", "{ type = \"flatten\" }"), [0_u32; 0]);
    assert_eq!(shape("[12]", "{ type = \"reshape\", target_shape = [3, -1] }"), [3]);
    assert_eq!(shape("[12]", "{ type = \"reshape\", target_shape = [2, 3, 2] }"), [2, 3]);
    assert_eq!(shape("[5, 2]", "{ type = \"dense\", units = 9 }"), [5]);
    let same = "{ type = \"rescaling\", scale = 2 }, { type = \"dropout\", rate = 0.1 }, \
                { type = \"activation\", activation = \"relu\" }, { type = \"batch_normalization\" }";
    assert_eq!(shape("[5, 4, 2]", same), [5, 4]);
}

#[test]
fn a_plan_tells_names_tensors_and_parameters() {
    let plan = plan(
        "[6, 6, 1]",
        "mse",
        "{ type = \"conv2d\", filters = 2, kernel_size = 3 }, { type = \"batch_normalization\" }, \
         { type = \"flatten\" }, { type = \"dense\", units = 4, name = \"dense_1\" }, \
         { type = \"dense\", units = 3, use_bias = false }, { type = \"dense\", units = 1 }",
    );
    let tensors: Vec<(&str, &[u32])> = plan
        .tensors()
        .tensors
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()))
        .collect();
    let expected: Vec<(&str, &[u32])> = vec![
        ("conv2d.kernel", &[3, 3, 1, 2]),
        ("conv2d.bias", &[2]),
        ("batch_normalization.gamma", &[2]),
        ("batch_normalization.beta", &[2]),
        ("batch_normalization.moving_mean", &[2]),
        ("batch_normalization.moving_variance", &[2]),
        ("dense_1.kernel", &[32, 4]),
        ("dense_1.bias", &[4]),
        ("dense.kernel", &[4, 3]),
        ("dense_2.kernel", &[3, 1]),
        ("dense_2.bias", &[1]),
    ];
    assert_eq!(tensors, expected);
    assert_eq!(plan.parameters(), 18 + 2 + 4 + 132 + 12 + 4);
    assert_eq!(plan.tensors().elements() as u64, plan.parameters() + 4);
    assert!(plan.has_buffers() && !plan.carries_momentum());
    let summary = plan.summary();
    assert!(summary.contains("172 trained values, 4 statistics"), "{summary}");
    assert!(summary.lines().any(|line| line.starts_with("dense_1") && line.ends_with("132")));
}

#[test]
fn thousands_of_nodes_without_names_get_theirs_at_once() {
    let nodes = "{ type = \"flatten\" }, ".repeat(6000);
    // With a search from 1 on for each of them this takes minutes, and a spec comes from outside.
    let plan = plan("[4]", "mse", &format!("{nodes} {{ type = \"dense\", units = 1 }}"));
    let summary = plan.summary();
    assert!(summary.contains("flatten_1 ") && summary.contains("flatten_5999 "));
    assert!(!summary.contains("flatten_6000") && !summary.contains("flatten_0"));
}

#[test]
fn nodes_may_stand_in_any_order() {
    let text = |layers: &str, output: &str| {
        format!("input = [4]\nloss = \"mse\"\noptimizer = \"adam\"\n{output}\nlayers = [{layers}]")
    };
    let last = "{ type = \"dense\", units = 1, name = \"last\", input = \"first\" }";
    let first = "{ type = \"dense\", units = 3, name = \"first\", input = \"input\" }";
    let turned = text(&format!("{last}, {first}"), "output = \"last\"");
    let straight = text(&format!("{first}, {last}"), "");
    let plan = |text: &str| Plan::new(&Spec::from_toml(text).unwrap()).unwrap();
    assert_eq!(plan(&turned).tensors(), plan(&straight).tensors());
    assert_eq!(plan(&turned).initial(3), plan(&straight).initial(3));
}

#[test]
fn a_spec_survives_json_and_names_are_sugar() {
    let text = "input = [28, 28, 1]\nmetrics = [\"accuracy\", \"loss\"]\n\
        loss = \"sparse_categorical_crossentropy\"\nlayers = [\
        { type = \"rescaling\", scale = 0.5, offset = [1] },\
        { type = \"conv2d\", filters = 2, kernel_size = [3, 2], strides = 2, padding = \"same\", activation = \"swish\" },\
        { type = \"average_pool2d\", strides = 1 }, { type = \"max_pool2d\" }, { type = \"batch_normalization\", momentum = 0.9 },\
        { type = \"flatten\" }, { type = \"dense\", units = 10, activation = \"softmax\", kernel_initializer = \"he_normal\" }]\n\
        [optimizer]\ntype = \"adamw\"\nlearning_rate = 0.01";
    let spec = Spec::from_toml(text).unwrap();
    let again = Spec::from_json(&spec.to_json()).unwrap();
    assert_eq!(spec, again);
    assert_eq!(spec.to_json(), again.to_json());
    let toml = toml::to_string(&spec).unwrap();
    assert_eq!(Spec::from_toml(&toml).unwrap(), spec);
    assert_eq!(spec.optimizer.learning_rate(), 0.01);
    let model::Optimizer::Adamw(adamw) = &spec.optimizer else { panic!("not adamw") };
    assert_eq!((adamw.weight_decay, adamw.epsilon), (0.004, 1e-7));
    assert_eq!("sgd".parse::<model::Optimizer>().unwrap().learning_rate(), 0.01);
}
