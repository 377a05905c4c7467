//! Against a list as the kernel has it, with the same rules for when a place is lost.

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::*;

const DIRECTORY: Directory = Directory {
    dentry_addr: 1 << 40,
    dev: 8 << 20 | 1,
    ino: 2,
    own_references_count: 1,
};

/// A child: the address of its link, and whether it has an inode.
#[derive(Clone, Copy, PartialEq)]
struct Child {
    link_addr: u64,
    is_negative: bool,
}

/// The head of the list comes first.
#[derive(Default)]
struct List {
    children: Vec<Child>,
    free: Vec<u64>,
    next_addr: u64,
}

impl List {
    fn of(negative_count: u64, positive_count: u64) -> Self {
        let mut list = Self::default();
        for number in 0..negative_count + positive_count {
            list.add(number >= positive_count);
        }
        list
    }

    fn add(&mut self, is_negative: bool) {
        let link_addr = self.free.pop().unwrap_or_else(|| {
            self.next_addr += 192;
            self.next_addr
        });
        self.children.insert(
            0,
            Child {
                link_addr,
                is_negative,
            },
        );
    }

    fn remove(&mut self, index: usize) {
        let child = self.children.remove(index);
        self.free.push(child.link_addr);
    }

    fn link(&self, index: usize) -> u64 {
        self.children.get(index).map_or(0, |child| child.link_addr)
    }

    fn run(&self, ask: Ask) -> Found {
        let mut found = Found {
            end: census_end::MORE,
            first_addr: self.link(0),
            references_count: u32::try_from(self.children.len()).expect("few") + 1,
            ..Found::default()
        };
        let Ask::Step { cursor, steps_max } = ask else {
            return found;
        };
        found.cursor = cursor;
        let mut index = 0;
        if cursor.link_addr != 0 {
            let place = self
                .children
                .iter()
                .position(|child| child.link_addr == cursor.link_addr);
            match place {
                Some(place) if self.link(place + 1) == cursor.next_addr => index = place + 1,
                _ => {
                    found.end = census_end::LOST;
                    return found;
                }
            }
        }
        for _ in 0..steps_max {
            let Some(child) = self.children.get(index) else {
                break;
            };
            if child.is_negative {
                found.negative_count += 1;
            } else {
                found.positive_count += 1;
            }
            index += 1;
            found.cursor = CensusCursor {
                link_addr: child.link_addr,
                next_addr: self.link(index),
                name_hash_len: 0,
            };
            found.sample = Some(format!("{:x}", child.link_addr).into_bytes());
        }
        if index == self.children.len() {
            found.end = census_end::LAST;
        }
        found
    }

    /// A whole census, with something happening before each run.
    fn census(&mut self, mut meanwhile: impl FnMut(&mut Self)) -> (Progress, Census) {
        let mut steps = Steps::new(DIRECTORY, &self.run(Ask::Peek));
        let mut runs_count = 0;
        loop {
            meanwhile(self);
            runs_count += 1;
            assert!(runs_count < 100_000, "it ends");
            match steps.take(&self.run(steps.ask())) {
                Progress::GoesOn => {}
                progress => return (progress, steps.finish(0, 0)),
            }
        }
    }
}

/// Children in a run, where there are many.
const RUN: usize = CENSUS_STEPS_MAX as usize;

#[test]
fn a_quiet_directory_is_counted_exactly() {
    for (negative, positive) in [(0, 0), (1, 0), (0, 1), (256, 0), (100, 900), (20_000, 7)] {
        let mut list = List::of(negative, positive);
        let (progress, census) = list.census(|_| {});
        assert_eq!(progress, Progress::Complete);
        assert_eq!(census.children_count, negative + positive);
        assert_eq!(census.negative_count, negative);
        assert!(census.is_complete);
        assert!(!census.is_approximate);
        assert_eq!(census.restarts_count, 0);
        assert_eq!((census.dev, census.ino), (DIRECTORY.dev, DIRECTORY.ino));
    }
}

#[test]
fn a_small_directory_gives_as_many_names_as_a_large_one() {
    let (_, census) = List::of(64, 0).census(|_| {});
    assert_eq!(census.samples.len(), 64);
    let (_, census) = List::of(1_000, 0).census(|_| {});
    assert!(census.samples.len() > 32);
}

#[test]
fn children_that_come_and_go_leave_the_count_near_the_truth() {
    let mut random = SmallRng::seed_from_u64(1);
    let mut lost_count = 0;
    for _ in 0..20 {
        let mut list = List::of(20_000, 0);
        let mut runs_count = 0;
        let (progress, census) = list.census(|list| {
            // Some at the head, where new ones come.
            for _ in 0..random.random_range(0..4) {
                let near = random.random_range(0..100);
                list.remove(near);
                list.add(random.random_range(0..10) == 0);
            }
            // And now and then one around the cursor.
            if random.random_range(0..4) == 0 {
                let around = runs_count * RUN + random.random_range(0..8);
                list.remove(around.min(list.children.len() - 1));
                list.add(true);
            }
            runs_count += 1;
        });
        assert_eq!(progress, Progress::Complete);
        assert!(census.is_complete && census.is_approximate);
        assert!(
            census.children_count.abs_diff(20_000) < 200,
            "{}",
            census.children_count
        );
        lost_count += census.restarts_count;
    }
    // Otherwise this tells nothing.
    assert!(lost_count > 0);
}

#[test]
fn a_place_that_went_is_taken_up_before_it() {
    let mut list = List::of(20_000, 0);
    let mut runs_count = 0;
    let (progress, census) = list.census(|list| {
        runs_count += 1;
        if runs_count == 160 {
            // The last thousand that were counted, the cursor among them.
            let passed = 159 * RUN;
            for _ in 0..1_000 {
                list.remove(passed - 500);
            }
        }
    });
    assert_eq!(progress, Progress::Complete);
    assert!(census.restarts_count >= 2);
    assert!(
        census.children_count.abs_diff(19_500) <= 600,
        "{}",
        census.children_count
    );
}

#[test]
fn a_dentry_made_again_at_the_same_address_is_not_the_same_place() {
    let mut list = List::of(2_000, 0);
    let mut runs_count = 0;
    let (_, census) = list.census(|list| {
        runs_count += 1;
        // The child at the cursor, the 32nd of each run, comes to the head again.
        if runs_count == 20 {
            let steps = 2_000_usize.div_ceil(64);
            list.remove(19 * steps - 1);
            list.add(true);
        }
    });
    assert!(census.restarts_count > 0);
    assert!(census.children_count.abs_diff(2_000) <= 64);
}

#[test]
fn a_list_that_is_lost_every_time_ends_incomplete() {
    let mut list = List::of(5_000, 0);
    let (progress, census) = list.census(|list| {
        // Whatever the cursor was at is gone.
        for child in &mut list.children {
            child.link_addr += 1 << 32;
        }
    });
    assert_eq!(progress, Progress::GivenUp);
    assert!(!census.is_complete && census.is_approximate);
    assert_eq!(census.children_count, 5_000);
    assert!(census.restarts_count <= RESTARTS_MAX + 1);
}

#[test]
fn a_list_that_grows_for_ever_at_its_end_is_given_up() {
    let mut list = List::of(1_000, 0);
    let (progress, census) = list.census(|list| {
        for _ in 0..300 {
            list.next_addr += 192;
            list.children.push(Child {
                link_addr: list.next_addr,
                is_negative: true,
            });
        }
    });
    assert_eq!(progress, Progress::GivenUp);
    assert!(!census.is_complete);
}

#[test]
fn a_directory_that_went_ends_the_census() {
    let list = List::of(10, 0);
    let mut steps = Steps::new(DIRECTORY, &list.run(Ask::Peek));
    let gone = Found {
        end: census_end::GONE,
        ..Found::default()
    };
    assert_eq!(steps.take(&gone), Progress::Gone);
}

#[test]
fn what_a_deadline_leaves_is_estimated_from_what_was_seen() {
    let list = List::of(6_000, 2_000);
    let mut steps = Steps::new(DIRECTORY, &list.run(Ask::Peek));
    for _ in 0..10 {
        assert_eq!(steps.take(&list.run(steps.ask())), Progress::GoesOn);
    }
    let census = steps.finish(7, 3);
    assert!(!census.is_complete && census.is_approximate);
    assert_eq!(census.children_count, 8_000);
    // The positive ones are at the end, and nobody has got there.
    assert_eq!(census.negative_count, 8_000);
    assert_eq!((census.duration_ns, census.longest_run_ns), (7, 3));
    let nothing = Steps::new(DIRECTORY, &list.run(Ask::Peek)).finish(0, 0);
    assert_eq!(nothing.children_count, 8_000);
    assert_eq!(share(9, 1, 3), 3);
}

#[test]
fn a_reference_count_of_a_dying_dentry_is_no_number_of_children() {
    let dying = u32::MAX - 127;
    assert_eq!(DIRECTORY.children_at_most(dying), 0);
    assert_eq!(DIRECTORY.children_at_most(0), 0);
    assert_eq!(DIRECTORY.children_at_most(8), 7);
}

#[test]
fn answers_that_make_no_sense_end_it_too() {
    let mut random = SmallRng::seed_from_u64(2);
    for _ in 0..200 {
        let mut steps = Steps::new(
            DIRECTORY,
            &Found {
                references_count: random.random(),
                ..Found::default()
            },
        );
        for round in 0.. {
            assert!(round < 20_000_000, "it ends");
            let found = Found {
                end: random.random_range(0..6),
                references_count: random.random(),
                negative_count: random.random(),
                positive_count: random.random(),
                no_child_count: random.random(),
                ..Found::default()
            };
            if steps.take(&found) != Progress::GoesOn {
                break;
            }
        }
        let _ = steps.finish(0, 0);
    }
}
