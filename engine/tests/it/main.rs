//! The engine from outside: random histories, a fleet in virtual time, and the merge maths.

#[cfg(test)]
mod checker;
#[cfg(test)]
mod config;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod deterministic;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod fleet_runs;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod hogwild;
#[cfg(test)]
mod maths;
#[cfg(test)]
mod pauses;
#[cfg(test)]
mod quadratic;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod scenes;
#[cfg(test)]
mod scenes_in_rounds;
#[cfg(test)]
mod stage;
