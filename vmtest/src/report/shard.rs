//! A part of a run, for a CI system with several machines.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The i-th of n parts, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// Which one.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

impl fmt::Display for Shard {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const COUNT_MAX: usize = 1_000;
        let numbers = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match numbers {
            Some((index, count)) if (1..=count).contains(&index) && count <= COUNT_MAX => {
                Ok(Self { index, count })
            }
            _ => Err(format!(
                "write i/n, with i from 1 to n and n at most {COUNT_MAX}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(index: usize, count: usize) -> Shard {
        Shard { index, count }
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        assert_eq!("2/3".parse(), Ok(shard(2, 3)));
        for text in [
            "", "2", "0/3", "4/3", "1/0", "1/2/3", "a/b", "-1/2", "1/100000",
        ] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
