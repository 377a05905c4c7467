//! Some names out of very many, spread evenly over all of them.

/// Names kept at most.
pub const SAMPLES_MAX: usize = 64;

/// Keeps every n-th name that it is given; when there is no more room, every second one of these goes
/// and n doubles. So the same names in the same order give the same sample.
#[derive(Debug)]
pub struct Samples {
    kept: Vec<Vec<u8>>,
    stride: u64,
    offered_count: u64,
}

impl Default for Samples {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            stride: 1,
            offered_count: 0,
        }
    }
}

impl Samples {
    /// One more name. A name that is there already, because a stretch was passed twice, is left out.
    pub fn offer(&mut self, name: &[u8]) {
        let is_next = self.offered_count.is_multiple_of(self.stride);
        self.offered_count += 1;
        if !is_next || self.kept.iter().any(|kept| kept == name) {
            return;
        }
        self.kept.push(name.to_vec());
        if self.kept.len() > SAMPLES_MAX {
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.stride *= 2;
        }
    }

    /// What was kept, in the order in which it came.
    pub fn into_names(self) -> Vec<Vec<u8>> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(count: u64) -> Vec<u64> {
        let mut samples = Samples::default();
        for number in 0..count {
            samples.offer(&number.to_be_bytes());
        }
        samples
            .into_names()
            .iter()
            .map(|name| u64::from_be_bytes(name[..].try_into().expect("eight bytes")))
            .collect()
    }

    #[test]
    fn few_names_are_all_kept() {
        assert_eq!(sample(64), (0..64).collect::<Vec<_>>());
    }

    #[test]
    fn many_names_are_kept_at_even_distances() {
        for count in [65, 100, 1_000, 12_345, 100_000] {
            let kept = sample(count);
            assert!((33..=SAMPLES_MAX).contains(&kept.len()), "{}", kept.len());
            let stride = kept[1] - kept[0];
            assert!(
                kept.windows(2).all(|pair| pair[1] - pair[0] == stride),
                "{kept:?}"
            );
            assert!(count - kept[kept.len() - 1] <= stride);
        }
    }

    #[test]
    fn a_name_is_kept_once() {
        let mut samples = Samples::default();
        samples.offer(b"a");
        samples.offer(b"a");
        assert_eq!(samples.into_names(), [b"a"]);
    }
}
