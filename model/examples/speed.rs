//! temporary: compares with a plain loop
use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig, loss::CrossEntropyLossConfig};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Int, Tensor, TensorData, activation::relu};
use model::{Batch, Plan, Spec, Targets, Trainer};

#[derive(Clone, Copy)]
struct Instant(u64);
struct D(u64);
impl D {
    fn as_secs_f64(&self) -> f64 {
        self.0 as f64 * 1e-9
    }
}
fn cpu_ns() -> u64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}
impl Instant {
    fn now() -> Self {
        Self(cpu_ns())
    }
    fn elapsed(self) -> D {
        D(cpu_ns() - self.0)
    }
}

#[derive(Module, Debug)]
struct Net {
    a: Linear,
    b: Linear,
    c: Linear,
    d: Dropout,
}
impl Net {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = self.d.forward(relu(self.a.forward(x)));
        let x = self.d.forward(relu(self.b.forward(x)));
        self.c.forward(x)
    }
}
fn plain(inputs: &[f32], classes: &[i32], steps: usize, rate: f64) -> f64 {
    let device = Device::flex().autodiff();
    let mut net = Net {
        a: LinearConfig::new(784, 128).init(&device),
        b: LinearConfig::new(128, 128).init(&device),
        c: LinearConfig::new(128, 10).init(&device),
        d: DropoutConfig::new(rate).init(),
    };
    let mut optim = SgdConfig::new().init();
    let loss_f = CrossEntropyLossConfig::new().init(&device);
    let start = Instant::now();
    for _ in 0..steps {
        let x = Tensor::<2>::from_data(TensorData::new(inputs.to_vec(), [64, 784]), &device);
        let y = Tensor::<1, Int>::from_data(TensorData::new(classes.to_vec(), [64]), &device);
        let loss = loss_f.forward(net.forward(x), y);
        let grads = GradientsParams::from_grads(loss.backward(), &net);
        net = optim.step(0.1, net, grads);
    }
    (steps * 64) as f64 / start.elapsed().as_secs_f64()
}
fn ours(inputs: &[f32], classes: &[i32], steps: usize, rate: f64, scale: bool, opt: &str) -> f64 {
    let scaling = if scale { "{ type = \"rescaling\", scale = 0.00392156862745098 }," } else { "" };
    let drop = if rate > 0.0 {
        format!("{{ type = \"dropout\", rate = {rate} }},")
    } else {
        String::new()
    };
    let text = format!(
        "input=[28,28]\nloss=\"sparse_categorical_crossentropy\"\noptimizer={opt}\nlayers=[{scaling}{{type=\"flatten\"}},{{type=\"dense\",units=128,activation=\"relu\"}},{drop}{{type=\"dense\",units=128,activation=\"relu\"}},{drop}{{type=\"dense\",units=10,activation=\"softmax\"}}]"
    );
    let plan = Plan::new(&Spec::from_toml(&text).unwrap()).unwrap();
    let mut t = Trainer::new(&plan, &model::cpu()).unwrap();
    let start = Instant::now();
    for _ in 0..steps {
        let batch = Batch {
            inputs: inputs.to_vec(),
            targets: Targets::Classes(classes.to_vec()),
            count: 64,
        };
        pollster::block_on(t.step(batch, 0.1)).unwrap();
    }
    let r = (steps * 64) as f64 / start.elapsed().as_secs_f64();
    let start = Instant::now();
    for _ in 0..100 {
        let f = pollster::block_on(t.flat()).unwrap();
        t.load(&f).unwrap();
    }
    if rate == 0.0 {
        println!("load+flat {:.3} ms", start.elapsed().as_secs_f64() * 10.0);
    }
    r
}
fn main() {
    let inputs: Vec<f32> = (0..64 * 784).map(|i| (i % 255) as f32 / 255.0).collect();
    let classes: Vec<i32> = (0..64).map(|i| i % 10).collect();
    let body = || {
        for round in 0..7 {
            let steps = 800;
            let a = plain(&inputs, &classes, steps, 0.2);
            let b = ours(&inputs, &classes, steps, 0.2, true, "\"sgd\"");
            let c = plain(&inputs, &classes, steps, 0.0);
            let d = ours(&inputs, &classes, steps, 0.0, false, "\"sgd\"");
            let e = ours(&inputs, &classes, steps, 0.2, true, "\"adam\"");
            println!(
                "{round} dropout: plain {a:.0} ours {b:.0} ({:.3}); none: plain {c:.0} ours {d:.0} ({:.3}); adam {e:.0}",
                b / a,
                d / c
            );
        }
    };
    if std::env::args().any(|a| a == "pool") {
        rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(body)
    } else {
        body()
    }
}
