//! Inputs written by hand: texts, and the steps of sessions and runs.

use fuzz::Target;

/// Texts with their targets and names.
pub(crate) const TEXTS: [(Target, &str, &str); 16] = [
    (Target::Csv, "classes", "a,b,y\n1,2.5,x\n-3e1,4,\"z, z\"\n0,0,x\n"),
    (Target::Csv, "numbers", "y,a\r\n10,1\r\n\r\n-1,2\r\n"),
    (Target::Csv, "bom", "\u{feff}a,y\n 1 , \"1\n2\" \n"),
    (Target::Csv, "short-line", "a,b,y\n1,2\n"),
    (Target::SpecToml, "mlp", MLP),
    (Target::SpecToml, "cnn", CNN),
    (Target::SpecToml, "optimizer", OPTIMIZER),
    (Target::SpecJson, "mlp", JSON),
    (Target::SpecJson, "graph", GRAPH),
    (Target::SpecJson, "hostile-sides", HOSTILE),
    (Target::SpecJson, "hostile-depth", "{\"input\":[[[[[[[[[[[[[[[["),
    (Target::Job, "preset", "preset = \"mnist-cnn\"\nname = \"a-b\"\nseed = 3\n"),
    (Target::Job, "own", JOB),
    (Target::Job, "sources", SOURCES),
    (
        Target::Job,
        "model",
        "model = \"mnist-mlp\"\ntraining.schedule = \"warmup=0.1+step=0.3,0.5\"\n",
    ),
    (Target::Job, "slip", "[trainning]\nepochs = 3\n"),
];

const MLP: &str = r#"input = [28, 28]
loss = "sparse_categorical_crossentropy"
metrics = ["accuracy"]
optimizer = { type = "sgd", learning_rate = 0.1 }
layers = [
    { type = "rescaling", scale = 0.00392156862745098 },
    { type = "flatten" },
    { type = "dense", units = 12, activation = "relu" },
    { type = "dropout", rate = 0.2 },
    { type = "dense", units = 10, activation = "softmax" },
]
"#;

const CNN: &str = r#"input = [8, 8]
loss = { type = "sparse_categorical_crossentropy", from_logits = true }
optimizer = "adam"
[[layers]]
type = "reshape"
target_shape = [8, -1, 1]
[[layers]]
type = "conv2d"
filters = 4
kernel_size = [3, 2]
strides = 2
padding = "same"
kernel_initializer = "he_normal"
[[layers]]
type = "batch_normalization"
momentum = 0.9
[[layers]]
type = "max_pool2d"
[[layers]]
type = "average_pool2d"
pool_size = 1
[[layers]]
type = "activation"
activation = "swish"
[[layers]]
type = "global_average_pool2d"
[[layers]]
type = "dense"
units = 3
use_bias = false
"#;

const OPTIMIZER: &str = r#"input = [2]
loss = "mse"
metrics = ["mae"]
optimizer = { type = "sgd", learning_rate = 1e-3, momentum = 0.9, nesterov = true }
layers = [{ type = "dense", units = 1 }]
"#;

const JSON: &str = r#"{"input":[4],"loss":{"type":"categorical_crossentropy"},"metrics":["accuracy","mae"],"optimizer":{"type":"adam","learning_rate":0.001},"layers":[{"name":"a","type":"dense","units":8,"activation":"gelu"},{"type":"dense","units":3,"activation":"softmax"}]}"#;

const GRAPH: &str = r#"{"input":[4],"loss":"mse","optimizer":"adam","output":"last","layers":[{"name":"last","input":"b","type":"dense","units":2},{"name":"b","input":"input","type":"activation","activation":"relu"}]}"#;

const HOSTILE: &str = r#"{"input":[65536,65536,1],"loss":"mse","optimizer":"sgd","layers":[{"type":"conv2d","filters":4294967295,"kernel_size":[1024,1024],"strides":4294967295,"padding":"same"}]}"#;

const JOB: &str = r#"name = "own"
init = "m.safetensors"
[data]
source = "rows.csv"
label = "kind"
validation_split = 0.25
test_split = 0.1
[model]
input = [2]
loss = "sparse_categorical_crossentropy"
optimizer = { type = "sgd", learning_rate = 0.5, momentum = 0.9 }
layers = [{ type = "dense", units = 3, activation = "softmax" }]
[training]
mode = "synchronous"
frequency = "steps=10"
strategy = "nesterov=0.5,0.9"
codec = "f32"
epochs = 3
batch_size = 16
schedule = "warmup=0.05+cosine"
[fleet]
workers = 0
min_workers = 2
device = "cpu"
listen = "0.0.0.0:7700"
linger = 0
"#;

const SOURCES: &str = r#"preset = "mnist-mlp"
run_dir = "r"
[data]
source = { images = "a.gz", labels = "b.gz" }
test = { images = "c", labels = "d" }
[model.optimizer]
type = "adam"
"#;

/// Steps of a worker's sessions and events of an engine, as the targets read them.
pub(crate) const SEQUENCES: [(Target, &str, &[u8]); 7] = [
    (Target::Session, "trains", TRAINS),
    (Target::Session, "in-pieces", PIECES),
    (Target::Session, "stops", &[1, 14, 0, 4, 1, 8, 1, 14, 3, 2, 1, 4, 2, 8, 0, 1, 14, 2, 2]),
    (Target::Session, "raw", &[1, 0, 1, 9, 0, 3, 5, 0, 1, 0, 2, 6, 1]),
    (Target::Engine, "asynchronous", ASYNCHRONOUS),
    (Target::Engine, "synchronous", SYNCHRONOUS),
    (
        Target::Engine,
        "lost-worker",
        &[
            0, 11, 8, 8, 2, 1, 0, 0, 0, 1, 2, 0, 18, 1, 1, 0, 2, 1, 0xff, 0, 255, 9, 9, 9, 9, 30,
            14, 0,
        ],
    ),
];

/// Two leases, the second asked for while the first trains; then the first delta's upload.
const TRAINS: &[u8] = &[
    1, 14, 0, // connected, Welcome
    4, 1, 8, 1, // Assign, prepared
    5, 0, 1, 7, 64, 0, 3, // Lease: rows 7 of shard 0 and 0 of shard 1
    9, 2, 9, 2, // both shards
    6, 0, 0, 64, // Parameters
    5, 0, 0, 8, 1, 3, // the next Lease
    43, 0, 1, // a step
    3, // the late pull
    6, 0, 0, 64, // its Parameters
    10, 9, // trained
    12, 0, 13, 0, 3, // Grant, Ack
    10, 9, 12, 0, 13, 0, 0, // the second delta is a duplicate
    5, 0, 0, 9, 2, 3, 3, 6, 0, 1, 0, 64, // a third one
];

/// Parameters of 10 kB that come in pieces, another run's among them.
const PIECES: &[u8] = &[
    1, 4, 0, 8, 1, 5, 0, 0, 8, 0, 3, 9, 2, // up to the pull
    6, 0, 0, 1, 100, // the first 100 bytes
    14, 1, // Alive in between
    7, 9, 255, 15, 7, 9, 255, 15, 7, 9, 255, 15, // most of the rest
    10, 9, 12, 0, // trained, Grant
];

/// One worker does an epoch of 8 rows in batches of 4.
const ASYNCHRONOUS: &[u8] = &[
    0, 25, 8, 1, 1, // one shard of 8 rows, batches of 4, one epoch, one worker
    0, 0, 2, 0, // joins, asks
    20, 0, 0, 0, // pulls
    22, 0, 0, 9, 1, // progress
    23, 0, 0, 9, 0, 20, 3, 11, 0, 9, // delta, screened, merged
    2, 0, 20, 0, 0, 0, // and again
];

/// Two workers in a round of two shards.
const SYNCHRONOUS: &[u8] = &[
    1, 26, 8, 8, 2, 2, // two shards, two epochs, two workers
    0, 0, 0, 1, 2, 0, 2, 1, // both join and ask
    4, 0, 0, 0, 4, 1, 1, 0, // both pull
    7, 0, 0, 7, 1, 1, 9, 0, 20, 3, 9, 0, 20, 3, 11, 0, 9, // both deliver
    15, 0, 9, 30, // and time passes
];
