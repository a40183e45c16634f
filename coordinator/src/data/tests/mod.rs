//! Tests of data: readers here, splits and shards in [`division`].

mod division;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use model::Targets;

use super::embedded::Part;
use super::table::Features;
use super::*;

/// An IDX file of unsigned bytes.
fn idx_bytes(shape: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|side| bytes.extend(side.to_be_bytes()));
    bytes.extend(values);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx_error(bytes: &[u8]) -> String {
    idx::parse("x.idx", bytes).unwrap_err().to_string()
}

fn csv_file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.csv");
    fs::write(&path, text).unwrap();
    (folder, path)
}

/// The message for a CSV text, without the folder that it is in.
fn csv_error(text: &str, label: &str, kind: LabelKind) -> String {
    let (folder, path) = csv_file(text);
    let message = table::read(&path, Columns::numbers(label), kind, None).unwrap_err().to_string();
    message.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn idx_is_read_plain_and_gzipped() {
    let bytes = idx_bytes(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    let expected = idx::Array { shape: vec![2, 3], values: vec![1, 2, 3, 4, 5, 6] };
    assert_eq!(idx::parse("x", &bytes).unwrap(), expected);
    assert_eq!(idx::parse("x", &gzip(&bytes)).unwrap(), expected);
}

#[test]
fn idx_says_what_is_wrong() {
    let good = idx_bytes(&[2, 2], &[1, 2, 3, 4]);
    assert_eq!(
        idx_error(&good[..11]),
        "x.idx: its header cannot be read: failed to fill whole buffer"
    );
    assert_eq!(idx_error(&good[..14]), "x.idx: ends after 2 of 4 values");
    let longer = [good.as_slice(), &[9]].concat();
    assert_eq!(idx_error(&longer), "x.idx: goes on after the 4 values that its header says");
    assert_eq!(
        idx_error(b"a,b\n1,2\n"),
        "x.idx: is not an IDX file: it begins with [61, 2c, 62, 0a], not with 00 00, a type and 1 \
         to 8 dimensions"
    );
    let mut floats = good;
    floats[2] = 0x0d;
    assert_eq!(
        idx_error(&floats),
        "x.idx: holds values of type 0x0d; only unsigned bytes (0x08) are read"
    );
    // Sizes whose product overflows, and a gzip bomb's header: no memory is taken for them.
    assert_eq!(
        idx_error(&idx_bytes(&[u32::MAX; 3], &[])),
        "x.idx: its header says [4294967295, 4294967295, 4294967295], more than the file can hold"
    );
    let bomb = gzip(&idx_bytes(&[1 << 30], &[0; 100]));
    assert_eq!(
        idx_error(&bomb),
        "x.idx: its header says [1073741824], more than the file can hold"
    );
}

#[test]
fn damaged_gzip_is_an_error() {
    let packed = gzip(&idx_bytes(&[400], &[7; 400]));
    let tail = [packed.as_slice(), &[0]].concat();
    assert_eq!(idx_error(&tail), "x.idx: there are bytes after the end of the gzip data");
    for end in 2..packed.len() {
        assert!(idx::parse("x", &packed[..end]).is_err(), "cut to {end} bytes");
    }
    let mut flipped = packed.clone();
    let checksum = packed.len() - 6;
    flipped[checksum] ^= 1;
    assert_eq!(
        idx_error(&flipped),
        "x.idx: is damaged: corrupt gzip stream does not have a matching checksum"
    );
}

#[test]
fn images_and_labels_must_belong_together() {
    let combine = |images: &[u8], labels: &[u8], names: Option<&Names>| {
        let images = idx::parse("i", images).unwrap();
        let labels = idx::parse("l", labels).unwrap();
        idx::combine(("i", images), ("l", labels), names).map_err(|error| error.to_string())
    };
    let images = idx_bytes(&[2, 1, 2], &[1, 2, 3, 4]);
    let dataset = combine(&images, &idx_bytes(&[2], &[1, 0]), None).unwrap();
    assert_eq!(dataset.shape, [1, 2]);
    assert_eq!(dataset.targets, Targets::Classes(vec![1, 0]));
    assert_eq!(dataset.names.classes, ["0", "1"]);
    let wrong = |labels: &[u8], names| combine(&images, labels, names).unwrap_err();
    assert_eq!(wrong(&idx_bytes(&[3], &[0; 3]), None), "l: holds 3 labels for the 2 samples of i");
    assert_eq!(wrong(&images, None), "l: holds [2, 1, 2], not one class a sample");
    assert_eq!(
        wrong(&idx_bytes(&[2], &[0, 2]), Some(&dataset.names)),
        "l: holds class 2; the training data has 2 classes"
    );
    let flat = combine(&idx_bytes(&[2], &[0; 2]), &idx_bytes(&[2], &[0; 2]), None);
    assert_eq!(flat.unwrap_err(), "i: holds [2], not samples of at least one value");
}

#[test]
fn embedded_data_sets_are_complete() {
    for name in embedded::names() {
        let train = embedded::read(name, Part::Train, None).unwrap();
        let test = embedded::read(name, Part::Test, Some(&train.names)).unwrap();
        assert!(train.rows() > 0 && test.rows() > 0, "{name}");
        assert_eq!(train.shape, test.shape, "{name}");
    }
    let unknown = embedded::read("letters", Part::Train, None).unwrap_err().to_string();
    assert_eq!(unknown, "there is no embedded data set `letters`; there is: digits");
}

#[test]
fn csv_classes_are_sorted_and_keep_their_names() {
    let (_folder, path) = csv_file("a, kind ,b\n1,pear,2.5\n-3e1,apple,4\n0,pear,1\n");
    let dataset = table::read(&path, Columns::numbers("kind"), LabelKind::Class, None).unwrap();
    assert_eq!(dataset.inputs, Inputs::Floats(vec![1.0, 2.5, -30.0, 4.0, 0.0, 1.0]));
    assert_eq!(dataset.shape, [2]);
    assert_eq!(dataset.targets, Targets::Classes(vec![1, 0, 1]));
    assert_eq!(dataset.names.classes, ["apple", "pear"]);
    assert_eq!(dataset.names.features, ["a", "b"]);

    let (_folder, path) = csv_file("x,y\n0,10\n0,9\n0,-1\n");
    let dataset = table::read(&path, Columns::numbers("y"), LabelKind::Class, None).unwrap();
    assert_eq!(dataset.names.classes, ["-1", "9", "10"], "numbers sort by value");
    let dataset = table::read(&path, Columns::numbers("y"), LabelKind::Number, None).unwrap();
    assert_eq!(dataset.targets, Targets::Values { width: 1, values: vec![10.0, 9.0, -1.0] });
}

#[test]
fn test_rows_follow_the_training_columns() {
    let (_folder, train) = csv_file("a,b,kind\n1,2,x\n3,4,y\n");
    let train = table::read(&train, Columns::numbers("kind"), LabelKind::Class, None).unwrap();
    let (_folder, test) = csv_file("kind,b,extra,a\ny,2,text,1\n");
    let test =
        table::read(&test, Columns::numbers("kind"), LabelKind::Class, Some(&train.names)).unwrap();
    assert_eq!(test.inputs, Inputs::Floats(vec![1.0, 2.0]));
    assert_eq!(test.targets, Targets::Classes(vec![1]));

    let (folder, path) = csv_file("a,b,kind\n1,2,x\n3,4,z\n");
    let message =
        table::read(&path, Columns::numbers("kind"), LabelKind::Class, Some(&train.names))
            .unwrap_err();
    assert_eq!(
        message.to_string(),
        format!(
            "{}/data.csv, line 3, column `kind`: class `z` does not occur in the training data",
            folder.path().display()
        )
    );
}

#[test]
fn csv_says_what_is_wrong_and_where() {
    let cases = [
        ("", "data.csv: is empty; its first line must name the columns"),
        ("a,b\n1,2\n", "data.csv, line 1: there is no column `kind`; the header has: a, b"),
        (
            "a,kinds\n1,2\n",
            "data.csv, line 1: there is no column `kind`; did you mean `kinds`?; the header has: a, kinds",
        ),
        ("kind\nx\n", "data.csv: has no column besides `kind`"),
        ("a,,kind\n1,2,x\n", "data.csv, line 1: column 2 of the header has no name"),
        ("a,a,kind\n1,2,x\n", "data.csv, line 1: column `a` stands twice in the header"),
        ("a,kind\n1,x\n2\n", "data.csv, line 3: has 1 cells, the header 2"),
        (
            "a,kind\n1,x\n\nabc,y\n",
            "data.csv, line 4, column `a`: `abc` is not a number; if \
             the column holds words, name it under data.categorical or data.ignore",
        ),
        (
            "a,kind\r\n1,x\r\n\r\nabc,y\r\n",
            "data.csv, line 4, column `a`: `abc` is not a number; if \
             the column holds words, name it under data.categorical or data.ignore",
        ),
        (
            "a,kind\r1,x\r\rabc,y\n1,x\n",
            "data.csv, line 4, column `a`: `abc` is not a number; if \
             the column holds words, name it under data.categorical or data.ignore",
        ),
        (
            "a,kind\n1,\"x\ny\"\nabc,y",
            "data.csv, line 4, column `a`: `abc` is not a number; if \
             the column holds words, name it under data.categorical or data.ignore",
        ),
        (
            "\u{feff}a,kind\nabc,y\n",
            "data.csv, line 2, column `a`: `abc` is not a number; if \
             the column holds words, name it under data.categorical or data.ignore",
        ),
        ("a,kind\n1,x\ninf,y\n", "data.csv, line 3, column `a`: `inf` is not a finite number"),
        (
            "a,kind\n,x\n",
            "data.csv, line 2, column `a`: the cell is empty; fill it in or remove the line",
        ),
        (
            "a,kind\n1,\n",
            "data.csv, line 2, column `kind`: the cell is empty; fill it in or remove the line",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(csv_error(text, "kind", LabelKind::Class), expected, "{text:?}");
    }
    assert_eq!(
        csv_error("a,kind\n1,x\n", "kind", LabelKind::Number),
        "data.csv, line 2, column `kind`: `x` is not a number"
    );
    assert_eq!(
        csv_error("a,kind\n1,x\n", "", LabelKind::Class),
        "data.csv: the target's column is not known; set `label` to one of: a, kind"
    );
}

#[test]
fn unreadable_files_are_named() {
    let missing =
        table::read(Path::new("no/such.csv"), Columns::numbers("y"), LabelKind::Class, None)
            .unwrap_err();
    assert_eq!(
        missing.to_string(),
        "no/such.csv: there is no such file; check the path (in a job file it is relative to that file)"
    );
    let (folder, path) = csv_file("");
    fs::write(&path, [b"a,kind\n1,".as_slice(), &[0xff, 0xfe]].concat()).unwrap();
    let message = table::read(&path, Columns::numbers("kind"), LabelKind::Class, None)
        .unwrap_err()
        .to_string();
    let path_text = folder.path().join("data.csv").display().to_string();
    assert_eq!(message, format!("{path_text}, line 2: is not text in UTF-8"));
    fs::write(&path, gzip(b"a,kind\n")).unwrap();
    let message = table::read(&path, Columns::numbers("kind"), LabelKind::Class, None)
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        format!(
            "{path_text}: is an IDX or gzip file, not CSV; write source = {{ images = \"...\", \
             labels = \"...\" }}"
        )
    );
    let digits = Source::Embedded("digits".to_owned());
    let message = read(&digits, Part::Train, Columns::default(), LabelKind::Number, None)
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "digits: holds classes, but the model's loss needs numbers; use a CSV file, or a \
         cross-entropy loss"
    );
}

#[test]
fn features_come_by_name_a_few_rows_at_a_time() {
    let text = "id,b,a\nu,2,1\nv,4,3\nw,6,5\n";
    let names = Names { features: vec!["a".into(), "b".into()], ..Names::default() };
    let mut features = Features::new(text.as_bytes(), "f", &names).unwrap();
    assert_eq!(features.next_rows(2).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(features.next_rows(2).unwrap(), [5.0, 6.0]);
    assert_eq!(features.next_rows(2).unwrap(), [0.0; 0]);
}

#[test]
fn words_become_a_value_each_and_columns_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.csv");
    let text = "id,colour,size,kind\n1,red,2,x\n2,blue,3,y\n3,red,4,x\n";
    fs::write(&path, text).unwrap();
    let (words, ids) = (["colour".to_owned()], ["id".to_owned()]);
    let columns = Columns { label: "kind", categorical: &words, ignore: &ids };
    let dataset = table::read(&path, columns, LabelKind::Class, None).unwrap();
    assert_eq!(dataset.names.features, ["colour", "size"]);
    assert_eq!(dataset.names.categories["colour"], ["blue", "red"]);
    assert_eq!((dataset.names.width(), dataset.shape.as_slice()), (3, [3].as_slice()));
    let rows = vec![0.0, 1.0, 2.0, 1.0, 0.0, 3.0, 0.0, 1.0, 4.0];
    assert_eq!(dataset.inputs, Inputs::Floats(rows.clone()));
    let again =
        table::read(&path, Columns::numbers("kind"), LabelKind::Class, Some(&dataset.names));
    assert_eq!(again.unwrap(), dataset, "names alone say what columns are");
    let mut features = Features::new(text.as_bytes(), "f", &dataset.names).unwrap();
    assert_eq!(features.next_rows(5).unwrap(), rows);

    let stranger = "size,colour\n2,green\n";
    let mut features = Features::new(stranger.as_bytes(), "f", &dataset.names).unwrap();
    assert_eq!(
        features.next_rows(1).unwrap_err().to_string(),
        "f, line 2, column `colour`: `green` does not occur in the training data, which has: blue, red"
    );
    let missing = ["color".to_owned()];
    let columns = Columns { ignore: &missing, ..columns };
    let message = table::read(&path, columns, LabelKind::Class, None).unwrap_err().to_string();
    assert!(message.contains("no column `color`; did you mean `colour`?"), "{message}");
}

#[test]
fn more_words_than_a_column_may_have_are_refused() {
    let lines: String = (0..=columns::WORDS_MAX).map(|row| format!("w{row},x\n")).collect();
    let text = format!("a,kind\n{lines}");
    let words = ["a".to_owned()];
    let columns = Columns { label: "kind", categorical: &words, ignore: &[] };
    let message = table::parse("f", text.as_bytes(), columns, LabelKind::Class, None).unwrap_err();
    assert!(message.to_string().contains("under data.ignore instead"), "{message}");
}

#[test]
fn rare_classes_weigh_more_when_balanced() {
    let text = "a,kind\n1,x\n2,x\n3,x\n4,y\n";
    let columns = Columns::numbers("kind");
    let dataset = table::parse("f", text.as_bytes(), columns, LabelKind::Class, None).unwrap();
    assert_eq!(ClassWeights::Equal.of(&dataset).unwrap(), [0.0; 0]);
    assert_eq!(ClassWeights::Balanced.of(&dataset).unwrap(), [4.0 / 6.0, 2.0]);
    let table_of = |name: &str| ClassWeights::Table([(name.to_owned(), 5.0)].into());
    assert_eq!(table_of("y").of(&dataset).unwrap(), [1.0, 5.0]);
    assert_eq!(
        table_of("z").of(&dataset).unwrap_err().to_string(),
        "f: has no class `z`, which training.class_weights names; there is: x, y"
    );
    let values =
        table::parse("f", &b"a,b\n1,2\n"[..], Columns::numbers("b"), LabelKind::Number, None);
    let message = ClassWeights::Balanced.of(&values.unwrap()).unwrap_err().to_string();
    assert!(message.contains("leave that key out"), "{message}");

    let shards = cut(&dataset, 1, &[0.5, 2.0]).unwrap();
    let shard = protocol::shard::Shard::decode(&shards[0].bytes).unwrap();
    let (targets, weights) = (shard.column("target").unwrap(), shard.column("weight").unwrap());
    for row in 0..shard.rows() {
        let (mut class, mut weight) = (Vec::new(), Vec::new());
        targets.extend_i32(row, &mut class);
        weights.extend_f32(row, &mut weight);
        assert_eq!(weight, [[0.5, 2.0][class[0] as usize]]);
    }
    let plain = protocol::shard::Shard::decode(&cut(&dataset, 1, &[]).unwrap()[0].bytes).unwrap();
    assert!(plain.column("weight").is_none());
}
