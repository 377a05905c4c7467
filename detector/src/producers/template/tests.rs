use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng, seq::SliceRandom as _};

use super::template;

const HEX: &[u8] = b"0123456789abcdef";
const BASE36: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const BASE62: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const BASE64: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

fn random(random: &mut SmallRng, alphabet: &[u8], length: usize) -> String {
    let letters = (0..length).map(|_| char::from(alphabet[random.random_range(0..alphabet.len())]));
    letters.collect()
}

fn uuid(seed: &mut SmallRng) -> String {
    let groups = [8, 4, 3, 3, 12].map(|length| random(seed, HEX, length));
    let [time, low, high, clock, node] = groups;
    format!("{time}-{low}-4{high}-a{clock}-{node}")
}

fn of<T: AsRef<[u8]>>(names: &[T]) -> String {
    let names: Vec<_> = names.iter().map(|name| name.as_ref().to_vec()).collect();
    template(&names).unwrap_or_else(|| "(nothing)".to_owned())
}

fn family(count: usize, mut name: impl FnMut(&mut SmallRng, usize) -> String) -> Vec<String> {
    let mut seed = SmallRng::seed_from_u64(7);
    (0..count).map(|index| name(&mut seed, index)).collect()
}

#[test]
fn names_that_programs_make() {
    let some =
        |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).into()).collect() };
    let cases: Vec<(&str, Vec<String>)> = vec![
        (
            "a flood",
            family(16, |seed, _| format!("null{}", random(seed, HEX, 16))),
        ),
        (
            "two of a flood",
            family(2, |seed, _| format!("null{}", random(seed, HEX, 16))),
        ),
        (
            "uuid files",
            family(16, |seed, _| format!("{}.tmp", uuid(seed))),
        ),
        (
            "uuids in upper case",
            family(9, |seed, _| uuid(seed).to_uppercase()),
        ),
        (
            "cores",
            some(&["core.9", "core.123", "core.4711", "core.32001"]),
        ),
        (
            "pids that begin alike",
            some(&["core.4711", "core.4712", "core.4799", "core.4755"]),
        ),
        (
            "mktemp",
            family(12, |seed, _| format!("tmp.{}", random(seed, BASE62, 10))),
        ),
        (
            "mkstemp of a name",
            family(12, |seed, _| format!("app{}", random(seed, BASE62, 6))),
        ),
        (
            "python tempfile",
            family(16, |seed, _| format!("tmp{}", random(seed, BASE36, 8))),
        ),
        (
            "php sessions",
            family(16, |seed, _| format!("sess_{}", random(seed, BASE36, 26))),
        ),
        (
            "nss",
            family(16, |seed, index| {
                let length = if index % 3 == 0 { 9 } else { 10 };
                format!(".{}_dOeSnOtExIsT_.db", random(seed, b"123456789", length))
            }),
        ),
        (
            "emacs locks",
            some(&[".#notes.org", ".#todo.org", ".#mail.org", ".#plan.org"]),
        ),
        (
            "vim swap files",
            some(&[".a.c.swp", ".main.c.swp", ".util.c.swp", ".io.c.swp"]),
        ),
        ("git objects", family(16, |seed, _| random(seed, HEX, 38))),
        ("fan-out", family(16, |seed, _| random(seed, HEX, 2))),
        (
            "maildir",
            family(16, |seed, index| {
                format!(
                    "17{}.M{}P{}.mail:2,S",
                    random(seed, b"0123456789", 8),
                    100 + index,
                    40 + index
                )
            }),
        ),
        (
            "containers",
            family(16, |seed, _| format!("{}-json.log", random(seed, HEX, 64))),
        ),
        (
            "images",
            some(&[
                "img_0001.jpg",
                "img_0002.jpg",
                "img_0010.jpg",
                "img_0119.jpg",
            ]),
        ),
        (
            "dates",
            some(&[
                "log-2026-11-01.gz",
                "log-2026-11-02.gz",
                "log-2026-10-31.gz",
            ]),
        ),
        (
            "tokens in url-safe base64",
            family(16, |seed, _| random(seed, BASE64, 22)),
        ),
        ("one name", some(&["config.json"])),
        (
            "one name again and again",
            some(&["config.json", "config.json"]),
        ),
        (
            "a PATH",
            some(&["ls", "grep", "make", "cc", "python", "tar"]),
        ),
        (
            "nothing in common",
            some(&["a.b", "c-d", "e_f", "g h", "i+j"]),
        ),
        ("no names", vec![]),
        ("an empty name", some(&[""])),
        (
            "a few others among them",
            family(16, |seed, index| match index {
                3 => "README".to_owned(),
                9 => "lost+found".to_owned(),
                _ => format!("null{}", random(seed, HEX, 16)),
            }),
        ),
        (
            "shorter ones among them",
            family(16, |seed, index| {
                if index == 5 {
                    "nullfoo".to_owned()
                } else {
                    format!("null{}", random(seed, HEX, 16))
                }
            }),
        ),
        (
            "two families of one shape",
            family(16, |seed, index| {
                if index % 2 == 0 {
                    format!("sess_{}", random(seed, BASE36, 26))
                } else {
                    format!("lock_{}", random(seed, b"0123456789", 8))
                }
            }),
        ),
        (
            "two families in one word",
            family(16, |seed, index| {
                if index % 2 == 0 {
                    format!("null{}", random(seed, HEX, 16))
                } else {
                    format!("tmp{}", random(seed, BASE36, 8))
                }
            }),
        ),
        (
            "two families with two shapes",
            family(16, |seed, index| {
                if index % 3 == 0 {
                    format!("{}.tmp", uuid(seed))
                } else {
                    format!("core.{index}")
                }
            }),
        ),
        (
            "three modules",
            family(18, |seed, index| {
                format!(
                    "{}-{}",
                    ["auth", "mail", "user"][index % 3],
                    random(seed, HEX, 8)
                )
            }),
        ),
        (
            "a name that looks like a template",
            some(&["<16 hex>a1", "<16 hex>b2", "<16 hex>c3"]),
        ),
        ("a bar", some(&["a | b1", "a | b2", "a | b3"])),
    ];
    let table: Vec<_> = cases
        .iter()
        .map(|(what, names)| format!("{what}: {}", of(names)))
        .collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn hostile_names() {
    let named = |bytes: &[u8]| -> String {
        let names: Vec<Vec<u8>> = (10..26)
            .map(|number: u32| [bytes, number.to_string().as_bytes()].concat())
            .collect();
        of(&names)
    };
    let long = vec![b'x'; 253];
    let table = [
        named(b"\x1b[2J\x1b]0;title\x07"),
        named(b"line\nbreak\r"),
        named(b"\xff\xfe invalid \xc3"),
        named("umlaut ü, turned \u{202e} ".as_bytes()),
        named(b"back\\slash \\x3c <"),
        named(b"</script><!-- | "),
        named(&long),
    ];
    insta::assert_snapshot!(table.join("\n"));
}

/// What a family is made of, and what must come out.
fn any_family(seed: &mut SmallRng) -> (String, impl Fn(&mut SmallRng) -> String + use<>) {
    let heads = [
        "null", "tmp.", "sess_", ".#", "core.", "", "ü\x1b-", "a_b.", "<x>",
    ];
    let tails = [".tmp", "", "_.db", ".lock", "~", "\n.gz"];
    let classes = [
        (HEX, "hex"),
        (BASE62, "alnum"),
        (b"0123456789" as &[u8], "digits"),
    ];
    let head = heads[seed.random_range(0..heads.len())];
    let tail = tails[seed.random_range(0..tails.len())];
    let (alphabet, class) = classes[seed.random_range(0..classes.len())];
    let length = seed.random_range(6..33);
    let quoted = |literal: &str| super::quote(literal.as_bytes());
    let expected = format!("{}<{length} {class}>{}", quoted(head), quoted(tail));
    (expected, move |seed| {
        format!("{head}{}{tail}", random(seed, alphabet, length))
    })
}

#[test]
fn every_family_gives_its_template_in_any_order() {
    for round in 0..2_000 {
        let mut seed = SmallRng::seed_from_u64(round);
        let (expected, name) = any_family(&mut seed);
        let count = seed.random_range(16..64);
        let mut names: Vec<_> = (0..count).map(|_| name(&mut seed).into_bytes()).collect();
        assert_eq!(template(&names), Some(expected.clone()), "{round}");
        names.shuffle(&mut seed);
        names.extend_from_within(..count / 2);
        assert_eq!(
            template(&names),
            Some(expected),
            "{round}: shuffled, with some twice"
        );
    }
}

#[test]
fn outliers_below_an_eighth_change_nothing() {
    for round in 0..500 {
        let mut seed = SmallRng::seed_from_u64(round);
        let mut names: Vec<_> = (0..16)
            .map(|_| format!("null{}", random(&mut seed, HEX, 16)).into_bytes())
            .collect();
        for _ in 0..2 {
            let length = seed.random_range(0..40);
            names.push((0..length).map(|_| seed.random()).collect());
        }
        names.shuffle(&mut seed);
        assert_eq!(
            template(&names).as_deref(),
            Some("null<16 hex>"),
            "{round}: {names:?}"
        );
    }
}

#[test]
fn any_bytes_give_safe_text_whatever_their_order() {
    for round in 0..3_000 {
        let mut seed = SmallRng::seed_from_u64(round);
        let alphabet: &[u8] = if round % 2 == 0 {
            b"ab1-_.\xff\n"
        } else {
            b"<|>aB09\\ \x1b"
        };
        let count = seed.random_range(0..20);
        let mut names: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                let length = seed.random_range(0..if round % 10 == 0 { 256 } else { 6 });
                let bytes = (0..length).map(|_| alphabet[seed.random_range(0..alphabet.len())]);
                bytes.collect()
            })
            .collect();
        let first = template(&names);
        let text = first.clone().unwrap_or_default();
        assert!(!text.chars().any(char::is_control), "{round}: {text:?}");
        names.shuffle(&mut seed);
        assert_eq!(template(&names), first, "{round}");
    }
}
