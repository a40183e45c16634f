//! A checked spec: the order of its nodes, all shapes, the table of tensors.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use protocol::{Role, TensorTable};

use crate::error::{SpecError, suggestion};
use crate::initial;
use crate::layer::Activation;
use crate::loss::Metric;
use crate::shape::{First, Operation, SAMPLE_RANK_MAX, Tensors, elements, infer};
use crate::spec::{Node, Spec};

/// The name under which nodes refer to the model's input.
const INPUT: &str = "input";
/// Longest node name: with the longest tensor name after it, it is in the wire's limit.
const NODE_NAME_MAX: usize = 96;

/// A node in the order of computing.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) operation: Operation,
    pub(crate) output: Vec<u32>,
    pub(crate) parameters: u64,
}

/// A spec that has been checked: it can be trained as it is.
#[derive(Debug, Clone)]
pub struct Plan {
    spec: Spec,
    nodes: Vec<Planned>,
    table: TensorTable,
    first: Vec<First>,
}

impl Plan {
    /// Checks a spec.
    ///
    /// # Errors
    /// When it cannot be trained; the message names the node or key and says what to do.
    pub fn new(spec: &Spec) -> Result<Self, SpecError> {
        let rank = spec.input.len();
        if rank == 0 || rank > SAMPLE_RANK_MAX || elements(&spec.input).is_none() {
            let message = format!(
                "{:?} must have 1 to {SAMPLE_RANK_MAX} sides of at least 1, as [784] or [28, 28, 1]",
                spec.input
            );
            return Err(SpecError::key("input", message));
        }
        spec.optimizer.check()?;
        let names = names(&spec.layers)?;
        let order = order(spec, &names)?;
        let mut tensors = Tensors::default();
        let mut nodes: Vec<Planned> = Vec::with_capacity(order.len());
        for index in order {
            let (name, layer) = (&names[index], &spec.layers[index].layer);
            let input = nodes.last().map_or(spec.input.as_slice(), |node| node.output.as_slice());
            let known = tensors.infos.len();
            let (output, operation) = infer(name, layer, input, &mut tensors)
                .map_err(|message| SpecError::node(name, message))?;
            if elements(&output).is_none() {
                let message = format!("its output {output:?} is too large: make it smaller");
                return Err(SpecError::node(name, message));
            }
            let parameters = tensors.infos[known..]
                .iter()
                .filter(|tensor| !tensor.is_buffer())
                .map(|tensor| elements(&tensor.shape).unwrap_or(u64::MAX))
                .fold(0, u64::saturating_add);
            let kind = layer.type_name();
            nodes.push(Planned { name: name.clone(), kind, operation, output, parameters });
        }
        let plan = Self {
            spec: spec.clone(),
            nodes,
            table: TensorTable { tensors: tensors.infos },
            first: tensors.first,
        };
        plan.table.check().map_err(|error| SpecError::key("layers", error.to_string()))?;
        plan.check_ends()?;
        Ok(plan)
    }

    /// Checks what lies between nodes, loss and metrics.
    fn check_ends(&self) -> Result<(), SpecError> {
        let Spec { loss, metrics, .. } = &self.spec;
        if self.parameters() == 0 {
            return Err(SpecError::key(
                "layers",
                "no node has values to train: add a dense or conv2d node",
            ));
        }
        if loss.is_cross_entropy() {
            let node = self.output_node();
            if self.output_shape().len() != 1 {
                let message = format!(
                    "loss `{}` needs one value for each class, but its output is {:?}: put a flatten \
                     and a dense node after it",
                    loss.name(),
                    self.output_shape()
                );
                return Err(SpecError::node(node, message));
            }
            if loss.is_from_logits() && self.ends_in_softmax() {
                let message = "it ends in softmax, but the loss says from_logits = true: remove one \
                               of the two";
                return Err(SpecError::node(node, message));
            }
        }
        let unfit = metrics.iter().find_map(|metric| match metric {
            Metric::Accuracy if !loss.is_cross_entropy() => Some("accuracy needs a cross-entropy"),
            Metric::Mae if loss.name().starts_with("sparse") => Some("mae needs target values"),
            _ => None,
        });
        match unfit {
            Some(what) => {
                let message = format!("{what}, but the loss is `{}`: remove it", loss.name());
                Err(SpecError::key("metrics", message))
            }
            None => Ok(()),
        }
    }

    /// The spec.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// All tensors in the order of the flat vector, in Keras's layout.
    #[must_use]
    pub fn tensors(&self) -> &TensorTable {
        &self.table
    }

    /// Shape of one sample.
    #[must_use]
    pub fn input_shape(&self) -> &[u32] {
        &self.spec.input
    }

    /// Shape of the outputs of one sample.
    #[must_use]
    pub fn output_shape(&self) -> &[u32] {
        self.nodes.last().map_or(&self.spec.input, |node| &node.output)
    }

    /// Number of trained values.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.nodes.iter().map(|node| node.parameters).fold(0, u64::saturating_add)
    }

    /// Whether there are tensors that are not trained: statistics of batch normalization.
    #[must_use]
    pub fn has_buffers(&self) -> bool {
        self.table.tensors.iter().any(|tensor| tensor.role != Role::Parameter)
    }

    /// Whether the inner optimizer keeps first moments from step to step.
    #[must_use]
    pub fn carries_momentum(&self) -> bool {
        self.spec.optimizer.carries_momentum()
    }

    /// The inner optimizer's step size.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        self.spec.optimizer.learning_rate()
    }

    /// First values of all tensors: a function of the spec and the seed, on every machine.
    #[must_use]
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        initial::values(&self.table, &self.first, seed)
    }

    /// A table for people: nodes, their output shapes, their trained values.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut rows =
            vec![["node".to_owned(), "type".into(), "output".into(), "parameters".into()]];
        rows.push([INPUT.into(), String::new(), format!("{:?}", self.spec.input), "0".into()]);
        for Planned { name, kind, output, parameters, .. } in &self.nodes {
            rows.push([
                name.clone(),
                (*kind).into(),
                format!("{output:?}"),
                parameters.to_string(),
            ]);
        }
        let mut width = [0; 4];
        for row in &rows {
            for (width, cell) in width.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for [node, kind, output, parameters] in &rows {
            let [a, b, c, d] = width;
            writeln!(text, "{node:<a$}  {kind:<b$}  {output:<c$}  {parameters:>d$}")
                .expect("invariant: writing to a string cannot fail");
        }
        let buffers = self.table.elements() as u64 - self.parameters();
        let parameters = self.parameters();
        write!(text, "{parameters} trained values")
            .expect("invariant: writing to a string cannot fail");
        if buffers > 0 {
            write!(text, ", {buffers} statistics")
                .expect("invariant: writing to a string cannot fail");
        }
        text.push('\n');
        text
    }

    pub(crate) fn nodes(&self) -> &[Planned] {
        &self.nodes
    }

    pub(crate) fn input_elements(&self) -> usize {
        self.spec.input.iter().map(|side| *side as usize).product()
    }

    pub(crate) fn output_elements(&self) -> usize {
        self.output_shape().iter().map(|side| *side as usize).product()
    }

    pub(crate) fn output_node(&self) -> &str {
        self.nodes.last().map_or(INPUT, |node| &node.name)
    }

    pub(crate) fn ends_in_softmax(&self) -> bool {
        let activation = self.nodes.last().and_then(|node| node.operation.activation());
        activation == Some(Activation::Softmax)
    }
}

/// The name of each node: its own, or its type, numbered from the second one on.
fn names(nodes: &[Node]) -> Result<Vec<String>, SpecError> {
    let mut taken = BTreeSet::from([INPUT]);
    for name in nodes.iter().filter_map(|node| node.name.as_deref()) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-/".contains(c);
        if name.is_empty() || name.len() > NODE_NAME_MAX || !name.chars().all(allowed) {
            let message = format!(
                "a name has 1 to {NODE_NAME_MAX} letters, digits, `_`, `-` and `/`: change it"
            );
            return Err(SpecError::node(name, message));
        }
        if !taken.insert(name) {
            return Err(SpecError::node(name, "another node has this name: change one of the two"));
        }
    }
    // For each type the number to try next; 0 is the bare name.
    let mut next: BTreeMap<&str, u32> = BTreeMap::new();
    let mut default = |node: &Node| {
        let base = node.layer.type_name();
        let number = next.entry(base).or_default();
        loop {
            let name = if *number == 0 { base.to_owned() } else { format!("{base}_{number}") };
            *number += 1;
            if !taken.contains(name.as_str()) {
                return name;
            }
        }
    };
    Ok(nodes.iter().map(|node| node.name.clone().unwrap_or_else(|| default(node))).collect())
}

/// The nodes from the input to the output. Each node has one input, so they are a chain.
fn order(spec: &Spec, names: &[String]) -> Result<Vec<usize>, SpecError> {
    let place = |name: &str| names.iter().position(|known| known == name);
    let mut node = match &spec.output {
        None => names.len().checked_sub(1),
        Some(output) => Some(place(output).ok_or_else(|| {
            let hint = suggestion(output, names.iter().map(String::as_str));
            SpecError::key("output", format!("there is no node `{output}`: {hint}"))
        })?),
    };
    let mut order = Vec::with_capacity(names.len());
    while let Some(index) = node {
        if order.contains(&index) {
            let message = "it is part of a cycle: let its `input` be an earlier node, or `input`";
            return Err(SpecError::node(&names[index], message));
        }
        order.push(index);
        node = match spec.layers[index].input.as_deref() {
            None => index.checked_sub(1),
            Some(INPUT) => None,
            Some(name) => Some(place(name).ok_or_else(|| {
                let hint = suggestion(name, names.iter().map(String::as_str).chain([INPUT]));
                SpecError::node(&names[index], format!("its input `{name}` does not exist: {hint}"))
            })?),
        };
    }
    order.reverse();
    match (0..names.len()).find(|index| !order.contains(index)) {
        None => Ok(order),
        Some(index) => {
            let output = order.last().map_or(INPUT, |last| names[*last].as_str());
            let message = format!(
                "it is not on the way from the input to the output `{output}`: remove it, or let \
                 another node take its values with input = \"{}\"",
                names[index]
            );
            Err(SpecError::node(&names[index], message))
        }
    }
}
