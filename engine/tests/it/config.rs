//! What may be asked for, in which words, and what is refused with which sentence.

use engine::schedule::Decay;
use engine::{Config, ConfigError, Engine, Frequency, Mode, Schedule, Strategy};

use crate::checker::config;
use crate::fleet_runs::digits;

#[test]
fn words_are_read_as_they_are_written() {
    for word in ["synchronous", "asynchronous"] {
        assert_eq!(word.parse::<Mode>().unwrap().to_string(), word);
    }
    for word in ["auto", "batch", "steps=10", "epoch"] {
        assert_eq!(word.parse::<Frequency>().unwrap().to_string(), word);
    }
    let strategies = ["auto", "nesterov", "nesterov=0.5,0.8", "staleness", "staleness=0.5"];
    for word in strategies.into_iter().chain(["staleness=1,plain", "mean", "sum"]) {
        assert_eq!(word.parse::<Strategy>().unwrap().to_string(), word);
    }
    let schedules = ["constant", "cosine", "step=0.25,0.5", "warmup=0.1", "warmup=0.1+cosine"];
    for word in schedules.into_iter().chain(["warmup=0.1+step=0.5,0.1"]) {
        assert_eq!(word.parse::<Schedule>().unwrap().to_string(), word);
    }
    assert_eq!("nesterov=0.7,0.9".parse::<Strategy>().unwrap(), Strategy::NESTEROV);
}

#[test]
fn other_words_are_refused_with_the_allowed_ones() {
    for word in ["", "Batch", "steps", "steps=", "steps=0", "steps=-1", "steps=1.5", "epoch=2"] {
        assert!(word.parse::<Frequency>().is_err(), "{word}");
    }
    for word in ["auto=1", "nesterov=1", "nesterov=x,y", "staleness=NaN", "staleness=1,", "means"] {
        assert!(word.parse::<Strategy>().is_err(), "{word}");
    }
    for word in ["step", "step=0,1", "step=0.5", "warmup=1", "warmup=0.1+", "cosine=1", "step=2,1"]
    {
        assert!(word.parse::<Schedule>().is_err(), "{word}");
    }
    let error = "asyncronous".parse::<Mode>().unwrap_err().to_string();
    assert!(error.contains("did you mean \"asynchronous\"?"), "{error}");
    let error = "zzz".parse::<Frequency>().unwrap_err().to_string();
    assert!(
        error.contains("use auto, batch, steps=N") && !error.contains("did you mean"),
        "{error}"
    );
}

#[test]
fn schedules_run_on_progress() {
    let at = |word: &str, progress: f64| word.parse::<Schedule>().unwrap().factor(progress);
    assert_eq!(at("constant", 0.7), 1.0);
    assert_eq!(at("step=0.25,0.5", 0.24), 1.0);
    assert_eq!(at("step=0.25,0.5", 0.5), 0.25);
    assert!((at("cosine", 0.0) - 1.0).abs() < 1e-12 && at("cosine", 1.0) < 1e-12);
    assert!((at("cosine", 0.5) - 0.5).abs() < 1e-12);
    assert!((at("warmup=0.2+cosine", 0.1) - 0.5).abs() < 1e-12);
    assert!((at("warmup=0.2+cosine", 0.6) - 0.5).abs() < 1e-12);
    assert!(at("warmup=0.2", 0.0) > 0.0, "the first leases train");
    assert_eq!(Schedule::default(), Schedule { warmup: 0.0, decay: Decay::Constant });
}

#[test]
fn nonsense_is_refused_with_one_sentence() {
    let cases = [
        (Config { shards: vec![], ..config() }, "no samples"),
        (Config { shards: vec![3, 0], ..config() }, "shard 1 has no rows"),
        (Config { batch_size: 0, ..config() }, "batch_size is 0"),
        (Config { epochs: 0, ..config() }, "epochs is 0"),
        (Config { workers_min: 0, ..config() }, "workers_min is 0"),
        (Config { frequency: Frequency::Steps(0), ..config() }, "steps=N is 0"),
        (Config { learning_rate: f64::NAN, ..config() }, "learning_rate is NaN"),
        (Config { learning_rate: -1.0, ..config() }, "learning_rate is -1"),
        (Config { strategy: Strategy::Mean, ..config() }, "use staleness"),
        (
            Config { strategy: Strategy::STALENESS, mode: Mode::Synchronous, ..config() },
            "use mean or nesterov",
        ),
        (
            Config { strategy: Strategy::Staleness { exponent: -1.0, plain: true }, ..config() },
            "exponent of staleness is -1",
        ),
        (
            Config { strategy: Strategy::Nesterov { rate: 0.5, momentum: 0.9 }, ..config() },
            "write nesterov alone",
        ),
        (
            Config {
                strategy: Strategy::Nesterov { rate: 0.5, momentum: 1.0 },
                mode: Mode::Synchronous,
                ..config()
            },
            "momentum of nesterov is 1",
        ),
    ];
    for (config, part) in cases {
        let error: ConfigError = Engine::new(config).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn auto_never_puts_momentum_on_momentum() {
    let resolve =
        |mode, inner_momentum| Config { mode, inner_momentum, ..config() }.resolved_strategy();
    assert_eq!(resolve(Mode::Asynchronous, false), Strategy::NESTEROV);
    assert_eq!(resolve(Mode::Asynchronous, true), Strategy::STALENESS);
    assert_eq!(resolve(Mode::Synchronous, false), Strategy::NESTEROV);
    assert_eq!(resolve(Mode::Synchronous, true), Strategy::Mean);
}

#[test]
fn warnings_name_what_is_likely_to_fail() {
    let sum = Config { strategy: Strategy::Sum, frequency: Frequency::Steps(5), ..digits() };
    assert!(sum.warnings(1).is_empty());
    assert!(sum.warnings(2)[0].contains("sum with 2 workers x 5 local steps"));
    let steps = Config { frequency: Frequency::Steps(10), ..digits() };
    assert!(steps.warnings(3).is_empty(), "30 of 125 batches");
    assert!(steps.warnings(4)[0].contains("more than a quarter"));
    assert!(Config { frequency: Frequency::Epoch, ..steps }.warnings(32).is_empty());
    let doubled = Config { strategy: Strategy::NESTEROV, inner_momentum: true, ..digits() };
    assert!(doubled.warnings(1)[0].contains("carries momentum"));
}
