//! Which kernels a user means: names, globs and tags of the manifest, files, this host.

use anyhow::{Result, bail};

use crate::{
    kernel::KernelWord,
    manifest::{
        ManifestError,
        kernels::{KernelEntry, Kernels},
    },
    matrix::plan::PlannedKernel,
};

/// All kernels that are meant, in the order given, those of a glob or tag in the manifest's; the tags are those of
/// files.
///
/// # Errors
/// When something means no kernel, a file is not there, or one kernel is named twice.
pub fn kernels(
    words: &[KernelWord],
    tags: &[String],
    manifest: &Kernels,
) -> Result<Vec<PlannedKernel>> {
    let is_known = |tag: &&String| {
        manifest
            .entries
            .iter()
            .any(|entry| entry.tags.contains(tag))
    };
    if let Some(tag) = tags.iter().find(|tag| !is_known(tag)) {
        bail!("--tag {tag}: no kernel of the list has it");
    }
    if words.is_empty() {
        let all = manifest.entries.iter().filter(|entry| !entry.is_optional);
        return Ok(all.map(planned).collect());
    }
    let mut chosen: Vec<PlannedKernel> = Vec::new();
    for word in words {
        let found = if let KernelWord::Listed(text) = word {
            meant(text, manifest)?.into_iter().map(planned).collect()
        } else {
            word.check()?;
            vec![PlannedKernel::new(word.clone(), tags)]
        };
        let is_named = found.iter().any(|kernel| kernel.word == *word);
        for one in found {
            let same = chosen.iter().find(|other| other.label == one.label);
            match same {
                None => chosen.push(one),
                Some(other) if other.word == *word && is_named => {
                    bail!("kernel {word}: given twice");
                }
                Some(other) if is_named => bail!(
                    "kernel {word}: its results would be called {}, as those of {} (rename one, or run them apart)",
                    one.label,
                    other.word
                ),
                // Globs and tags may overlap.
                Some(_) => {}
            }
        }
    }
    Ok(chosen)
}

fn planned(entry: &KernelEntry) -> PlannedKernel {
    PlannedKernel::new(KernelWord::Listed(entry.name.clone()), &entry.tags)
}

/// The entry of this name, or those with this tag, or those whose names the glob matches; the latter without what
/// is optional.
fn meant<'a>(word: &str, manifest: &'a Kernels) -> Result<Vec<&'a KernelEntry>, ManifestError> {
    if let Ok(entry) = manifest.get(word) {
        return Ok(vec![entry]);
    }
    let pattern = glob::Pattern::new(word).ok();
    let is_meant = |entry: &&KernelEntry| {
        let is_in_glob = |pattern: &glob::Pattern| pattern.matches(&entry.name);
        let is_tagged = entry.tags.iter().any(|tag| tag == word);
        !entry.is_optional && (is_tagged || pattern.as_ref().is_some_and(is_in_glob))
    };
    let found: Vec<_> = manifest.entries.iter().filter(is_meant).collect();
    if found.is_empty() {
        return Err(manifest.unknown(word));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Result<Vec<String>, String> {
        let manifest = Kernels::load(None).expect("the built-in manifest");
        let words: Vec<_> = words.iter().map(|word| KernelWord::from(*word)).collect();
        kernels(&words, &[], &manifest)
            .map(|kernels| {
                kernels
                    .iter()
                    .map(|kernel| kernel.word.to_string())
                    .collect()
            })
            .map_err(|error| error.to_string())
    }

    fn chosen(words: &[&str]) -> Vec<String> {
        names(words).expect("kernels")
    }

    #[test]
    fn a_name_a_tag_and_a_glob_mean_kernels() {
        assert_eq!(chosen(&["6.12"]), ["6.12"], "a name is no prefix");
        assert_eq!(chosen(&["rt"]), ["6.12-rt", "7.3-rt"]);
        assert_eq!(chosen(&["6.12*"]), ["6.12", "6.12-generic", "6.12-rt"]);
        assert_eq!(chosen(&["7.3", "rt"]), ["7.3", "6.12-rt", "7.3-rt"]);
        assert!(chosen(&[]).len() > 5);
    }

    #[test]
    fn what_is_optional_must_be_named() {
        let optional = ["newest", "unstable", "rc"];
        for word in [&["cloud"][..], &["*"], &[]] {
            assert!(chosen(word).iter().all(|name| !optional.contains(&&**name)));
        }
        assert_eq!(chosen(&optional), optional);
    }

    #[test]
    fn a_file_has_the_tags_that_it_is_given() {
        let manifest = Kernels::load(None).expect("the built-in manifest");
        let words = ["/dev/null".into(), "6.1".into()];
        let found = kernels(&words, &["rt".to_owned()], &manifest).expect("kernels");
        assert_eq!(found[0].tags, ["rt"]);
        assert_eq!(found[1].tags, ["lts", "cloud"]);
        let error = kernels(&words, &["tr".to_owned()], &manifest).expect_err("a mistake");
        assert_eq!(error.to_string(), "--tag tr: no kernel of the list has it");
    }

    #[test]
    fn what_overlaps_is_taken_once_and_a_name_twice_is_a_mistake() {
        assert_eq!(chosen(&["*-rt", "rt"]), ["6.12-rt", "7.3-rt"]);
        let error = names(&["6.1", "6.1"]).expect_err("twice");
        assert!(error.contains("given twice"), "{error}");
    }

    #[test]
    fn what_means_nothing_is_named_with_what_there_is() {
        for word in ["6.2", "8.*", "[", "colour"] {
            let error = names(&[word]).expect_err(word);
            assert!(error.starts_with(&format!("kernel {word}: ")), "{error}");
            assert!(error.contains("7.3-rt") && error.contains("lts"), "{error}");
            assert_eq!(error.lines().count(), 1);
        }
        let error = names(&["/nowhere/vmlinuz"]).expect_err("no file");
        assert_eq!(error, "kernel /nowhere/vmlinuz: no such file");
    }

    #[test]
    fn files_of_one_name_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut paths = Vec::new();
        for part in ["a", "b"] {
            let path = directory.path().join(part).join("x.deb");
            std::fs::create_dir(path.parent().expect("one")).expect("made");
            std::fs::write(&path, "").expect("written");
            paths.push(path.display().to_string());
        }
        let both = format!("{},{}", paths[0], paths[1]);
        assert_eq!(chosen(&["host", &both]), ["host", &both], "one kernel");
        for word in [&paths[1], &both] {
            let error = names(&[&paths[0], word]).expect_err("one name");
            assert_eq!(
                error,
                format!(
                    "kernel {word}: its results would be called x.deb, as those of {} (rename one, or run them apart)",
                    paths[0]
                )
            );
        }
        let slash = format!("{}/", directory.path().display());
        chosen(&[&slash]);
        let error = names(&[&format!("{slash}..")]).expect_err("no name");
        assert!(error.contains("would have no name"), "{error}");
    }
}
