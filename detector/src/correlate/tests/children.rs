//! What is in a walked directory, and who put it there.

use super::*;
use crate::{
    census::Census,
    model::{Children, Wanted},
    producers,
};

fn children(ino: u64) -> Input {
    Input::Children(Box::new(Children {
        dev: testing::DEV,
        ino,
        census: Some(Census {
            children_count: 7,
            negative_count: 6,
            is_complete: true,
            ..Census::default()
        }),
        origin: Some(producers::Directory {
            producers: vec![producers::Producer {
                pid: Some(77),
                ..producers::Producer::default()
            }],
            ..producers::Directory::default()
        }),
        degraded: vec!["children: said".to_owned()],
    }))
}

fn wanted(pipeline: &Pipeline) -> Vec<u64> {
    pipeline
        .wanted()
        .iter()
        .map(|Wanted { ino, .. }| *ino)
        .collect()
}

#[test]
fn they_are_wanted_once_and_only_for_incidents() {
    let mut pipeline = Pipeline::new(session());
    let (long, short) = (directory(0), directory(1));
    let _ = pipeline.feed(&input(&walk(short, 2, 1, 1_000, 1_011)));
    assert!(wanted(&pipeline).is_empty());
    let _ = pipeline.feed(&input(&walk(long, 1, 0, 1_000, 1_100)));
    let _ = pipeline.feed(&input(&walk(long, 3, 2, 1_000, 1_101)));
    assert_eq!(wanted(&pipeline), [long.ino]);
    let _ = pipeline.feed(&children(long.ino));
    assert!(wanted(&pipeline).is_empty());
}

#[test]
fn every_open_walk_of_the_directory_gets_them_and_no_other() {
    let (a, b) = (directory(0), directory(1));
    let found = incidents(&[
        input(&walk(a, 1, 0, 1_000, 1_100)),
        input(&walk(a, 2, 1, 1_000, 1_101)),
        input(&walk(b, 3, 2, 1_000, 1_102)),
        children(a.ino),
    ]);
    let told: Vec<_> = found
        .iter()
        .map(|incident| {
            (
                incident.census.as_ref().map(|census| census.children_count),
                incident.origin.first().and_then(|producer| producer.pid),
                incident.degraded.last().map(String::as_str),
            )
        })
        .collect();
    let said = (Some(7), Some(77), Some("children: said"));
    let nobody = (None, None, Some("children: nobody has counted them"));
    assert_eq!(told, [said, said, nobody]);
}
