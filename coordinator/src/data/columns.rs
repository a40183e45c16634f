//! What the columns of a CSV file are: inputs that are numbers, inputs that are words, the label, or
//! nothing to the model.
//!
//! A column of words becomes one value for each word that occurs in it, 1 for the word in the cell
//! and 0 for the others.

use std::collections::{BTreeMap, HashMap};

use super::Names;

/// Most words of one column: more are names or texts, of which a model learns nothing.
pub const WORDS_MAX: usize = 1000;

/// Words that are named in a message.
const WORDS_SHOWN: usize = 10;

/// What a job says of the columns of a CSV file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Columns<'a> {
    /// The column of the target.
    pub label: &'a str,
    /// Inputs that are words.
    pub categorical: &'a [String],
    /// No inputs.
    pub ignore: &'a [String],
}

impl<'a> Columns<'a> {
    /// All columns but the label are inputs, and numbers.
    #[must_use]
    pub fn numbers(label: &'a str) -> Self {
        Self { label, ..Self::default() }
    }
}

/// The words of one column, by number.
#[derive(Debug, Default)]
pub(super) struct Words {
    numbers: HashMap<String, usize>,
    /// No word may come that is not known.
    closed: bool,
}

impl Words {
    /// Those of the training data, in their order.
    pub(super) fn known(words: &[String]) -> Self {
        Self { numbers: words.iter().cloned().zip(0..).collect(), closed: true }
    }

    /// The number of a word; a new one gets the next, if there may be new ones.
    ///
    /// # Errors
    /// When there may be none; the message says what is wrong with the cell.
    pub(super) fn number(&mut self, word: &str) -> Result<usize, String> {
        if let Some(number) = self.numbers.get(word) {
            return Ok(*number);
        }
        if self.closed {
            let mut known: Vec<&str> = self.numbers.keys().map(String::as_str).collect();
            known.sort_unstable();
            let more = if known.len() > WORDS_SHOWN { ", ..." } else { "" };
            known.truncate(WORDS_SHOWN);
            return Err(format!(
                "`{word}` does not occur in the training data, which has: {}{more}",
                known.join(", ")
            ));
        }
        let number = self.numbers.len();
        if number == WORDS_MAX {
            return Err(format!(
                "`{word}` is one word more than the {WORDS_MAX} of a column; name the column under \
                 data.ignore instead of data.categorical"
            ));
        }
        self.numbers.insert(word.to_owned(), number);
        Ok(number)
    }

    /// All words in order, and for each number the place in that order.
    fn sorted(&self) -> (Vec<String>, Vec<usize>) {
        let mut words: Vec<(&String, usize)> =
            self.numbers.iter().map(|(word, number)| (word, *number)).collect();
        words.sort_unstable();
        let mut places = vec![0; words.len()];
        for (place, (_, number)) in words.iter().enumerate() {
            places[*number] = place;
        }
        (words.into_iter().map(|(word, _)| word.clone()).collect(), places)
    }
}

/// How one column becomes values.
#[derive(Debug)]
pub(super) enum Meaning {
    /// One value.
    Number,
    /// As many as it has words.
    Words(Words),
}

/// How each column becomes values.
#[derive(Debug)]
pub(super) struct Encoder {
    pub(super) columns: Vec<(String, Meaning)>,
    /// The data is new: a job says what its columns are.
    pub(super) is_new: bool,
}

impl Encoder {
    /// For new data, whose words are not known.
    pub(super) fn new(names: Vec<String>, categorical: &[String]) -> Self {
        let column = |name: String| {
            let words = categorical.contains(&name);
            let meaning = if words { Meaning::Words(Words::default()) } else { Meaning::Number };
            (name, meaning)
        };
        Self { columns: names.into_iter().map(column).collect(), is_new: true }
    }

    /// For data like the training data.
    pub(super) fn known(names: &Names) -> Self {
        let meaning = |name: &String| match names.categories.get(name) {
            Some(words) => Meaning::Words(Words::known(words)),
            None => Meaning::Number,
        };
        let columns = names.features.iter().map(|name| (name.clone(), meaning(name)));
        Self { columns: columns.collect(), is_new: false }
    }

    /// The words of each column of words, in order.
    pub(super) fn categories(&self) -> BTreeMap<String, Vec<String>> {
        let words = self.columns.iter().filter_map(|(name, meaning)| match meaning {
            Meaning::Number => None,
            Meaning::Words(words) => Some((name.clone(), words.sorted().0)),
        });
        words.collect()
    }

    /// Rows of one number a column, words by their numbers, as the model takes them.
    pub(super) fn expand(&self, narrow: Vec<f32>) -> Vec<f32> {
        if self.columns.iter().all(|(_, meaning)| matches!(meaning, Meaning::Number)) {
            return narrow;
        }
        let places: Vec<Option<Vec<usize>>> = self
            .columns
            .iter()
            .map(|(_, meaning)| match meaning {
                Meaning::Number => None,
                Meaning::Words(words) if words.closed => Some((0..words.numbers.len()).collect()),
                Meaning::Words(words) => Some(words.sorted().1),
            })
            .collect();
        let mut wide = Vec::new();
        for row in narrow.chunks_exact(self.columns.len()) {
            for (value, places) in row.iter().zip(&places) {
                let Some(places) = places else {
                    wide.push(*value);
                    continue;
                };
                let start = wide.len();
                wide.resize(start + places.len(), 0.0);
                wide[start + places[*value as usize]] = 1.0;
            }
        }
        wide
    }
}
