//! Seeds by the thousand, seeds that once failed, and bugs that must be found.

#[cfg(test)]
mod seeds;

#[cfg(all(test, feature = "sabotage"))]
mod sabotage;
