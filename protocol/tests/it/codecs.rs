//! How exact the codecs are, and what they refuse.

use proptest::collection::vec;
use proptest::prelude::*;
use protocol::codec::{CodecError, F16_ELEMENTS_MIN};
use protocol::{Codec, Role, TensorTable};

use super::{cases, table, tensor};

const ROWS: usize = 64;

/// One tensor of [`F16_ELEMENTS_MIN`] values: the smallest that travels as halves.
fn half_table(role: Role) -> TensorTable {
    table(&[tensor("kernel", &[64, (F16_ELEMENTS_MIN / ROWS) as u32], role)])
}

fn through(codec: Codec, table: &TensorTable, values: &[f32]) -> Result<Vec<f32>, CodecError> {
    let payload = codec.encode(table, values);
    assert_eq!(payload.len(), codec.bytes(table));
    let mut decoded = vec![f32::NAN; 3];
    codec.decode(table, &payload, &mut decoded)?;
    assert_eq!(decoded.len(), table.elements());
    Ok(decoded)
}

fn halves(values: &[f32]) -> Vec<f32> {
    through(Codec::F16, &half_table(Role::Parameter), values).unwrap()
}

/// Half of a half's last digit for values within 2^-28 of the largest, and half of its smallest
/// step below; f32's own smallest step where a tensor is that small.
fn assert_close(values: &[f32], decoded: &[f32]) {
    let largest = values.iter().fold(0.0_f64, |largest, &x| largest.max(f64::from(x).abs()));
    for (&value, &back) in values.iter().zip(decoded) {
        let error = (f64::from(value) - f64::from(back)).abs();
        let own = f64::from(value).abs() * 2.0_f64.powi(-11);
        let bound = own.max(largest * 2.0_f64.powi(-39)).max(2.0_f64.powi(-149));
        assert!(error <= bound, "{value:e} became {back:e}; the largest is {largest:e}");
        assert_eq!(value.is_sign_negative(), back.is_sign_negative(), "{value:e} {back:e}");
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn halves_keep_their_error_bound(
        seeds in vec((-1.0..1.0_f32, 0..60_i32), ROWS),
        exponent in -149..127_i32,
    ) {
        // Values spread over 60 powers of two below the largest, at every scale of f32.
        let row = seeds.iter().map(|&(x, below)| {
            (f64::from(x) * 2.0_f64.powi(exponent - below)) as f32
        });
        let values: Vec<f32> = row.collect::<Vec<_>>().repeat(F16_ELEMENTS_MIN / ROWS);
        assert_close(&values, &halves(&values));
    }

    #[test]
    fn singles_are_exact(bits in vec(any::<u32>(), 50)) {
        let values: Vec<f32> =
            bits.into_iter().map(f32::from_bits).map(|x| if x.is_finite() { x } else { 0.0 }).collect();
        let table = table(&[tensor("kernel", &[5, 10], Role::Parameter)]);
        for codec in [Codec::F32, Codec::F16] {
            let decoded = through(codec, &table, &values).unwrap();
            prop_assert!(values.iter().map(|x| x.to_bits()).eq(decoded.iter().map(|x| x.to_bits())));
        }
    }

    #[test]
    fn what_is_not_finite_is_refused_wherever_it_stands(
        at in 0..F16_ELEMENTS_MIN,
        bad in proptest::sample::select(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY][..]),
        scale in -30..30_i32,
    ) {
        let mut values = vec![2.0_f32.powi(scale); F16_ELEMENTS_MIN];
        values[at] = bad;
        for codec in [Codec::F32, Codec::F16] {
            for role in [Role::Parameter, Role::Buffer, Role::BufferNonNegative] {
                let error = through(codec, &half_table(role), &values).unwrap_err();
                prop_assert_eq!(error, CodecError::NotFinite("kernel".into()));
            }
        }
    }

    #[test]
    fn sizes_follow_from_the_table(
        shapes in vec((vec(1..30_u32, 0..4), 0..3_usize), 0..6),
    ) {
        let roles = [Role::Parameter, Role::Buffer, Role::BufferNonNegative];
        let tensors: Vec<_> =
            shapes.iter().map(|(shape, role)| tensor("x", shape, roles[*role])).collect();
        let table = table(&tensors);
        let sizes = shapes.iter().map(|(shape, role)| {
            let count: u32 = shape.iter().product();
            if *role == 0 && count >= 4096 { 2 + 2 * count } else { 4 * count }
        });
        prop_assert_eq!(Codec::F16.bytes(&table), sizes.sum::<u32>() as usize);
        prop_assert_eq!(Codec::F32.bytes(&table), 4 * table.elements());
        let zeros = vec![0.0; table.elements()];
        for codec in [Codec::F32, Codec::F16] {
            prop_assert_eq!(&through(codec, &table, &zeros).unwrap(), &zeros);
        }
    }
}

#[test]
fn every_half_decodes_to_its_definition() {
    // All patterns but infinities and NaN: sign, exponent below 31, ten bits.
    let words: Vec<u16> = (0..=u16::MAX).filter(|word| word >> 10 & 31 != 31).collect();
    let table = table(&[tensor("kernel", &[words.len() as u32], Role::Parameter)]);
    let mut decoded = Vec::new();
    for exponent in [-126_i16, -40, -1, 0, 5, 97] {
        let mut payload = exponent.to_le_bytes().to_vec();
        payload.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        Codec::F16.decode(&table, &payload, &mut decoded).unwrap();
        for (&word, &value) in words.iter().zip(&decoded) {
            let (power, digits) = (i32::from(word >> 10 & 31), f64::from(word & 1023));
            let half = match power {
                0 => digits * 2.0_f64.powi(-24),
                _ => (1024.0 + digits) * 2.0_f64.powi(power - 25),
            };
            let sign = if word >> 15 == 1 { -1.0 } else { 1.0 };
            let expected = (sign * half * 2.0_f64.powi(i32::from(exponent))) as f32;
            assert_eq!(value.to_bits(), expected.to_bits(), "{word:04x} at {exponent}");
        }
    }
}

#[test]
fn exponents_out_of_range_are_refused() {
    let table = half_table(Role::Parameter);
    let mut payload = Codec::F16.encode(&table, &vec![0.0; F16_ELEMENTS_MIN]);
    let mut decode = |exponent: i16| {
        payload[..2].copy_from_slice(&exponent.to_le_bytes());
        Codec::F16.decode(&table, &payload, &mut Vec::new()).is_ok()
    };
    assert!([-126, 0, 113].into_iter().all(&mut decode));
    assert!(![i16::MIN, -127, 114, i16::MAX].into_iter().any(&mut decode));
}

#[test]
fn late_deltas_survive_among_others() {
    for (largest, tolerance) in [(1e-9, 1e-3), (1e-6, 1e-3), (1e-3, 1e-3), (1.0, 4e-3)] {
        let mut values = vec![1e-9_f32; F16_ELEMENTS_MIN];
        values[77] = largest;
        values[78] = -largest;
        let decoded = halves(&values);
        let error = (decoded[0] / 1e-9 - 1.0).abs();
        assert!(error < tolerance, "1e-9 beside {largest:e} became {:e}", decoded[0]);
    }
}

#[test]
fn tensors_of_one_value_at_the_ends_of_the_range() {
    let smallest = f32::from_bits(1);
    for value in [0.0, smallest, 17.0 * smallest, 1e-40, f32::MIN_POSITIVE, 1.0, 3e38, 3.4e38] {
        for signed in [value, -value] {
            let values = vec![signed; F16_ELEMENTS_MIN];
            assert_close(&values, &halves(&values));
        }
    }
    // f32's last numbers round to 2^128: refused, never silently infinite.
    let values = vec![f32::MAX; F16_ELEMENTS_MIN];
    let error = through(Codec::F16, &half_table(Role::Parameter), &values).unwrap_err();
    assert_eq!(error, CodecError::NotFinite("kernel".into()));
}

#[test]
fn buffers_and_small_tensors_are_singles_under_either_codec() {
    let count = F16_ELEMENTS_MIN as u32;
    let table = table(&[
        tensor("mean", &[count], Role::Buffer),
        tensor("variance", &[count], Role::BufferNonNegative),
        tensor("bias", &[count - 1], Role::Parameter),
    ]);
    let values: Vec<f32> = (0..table.elements()).map(|x| 0.1 + x as f32 * 1e-7).collect();
    assert_eq!(through(Codec::F16, &table, &values).unwrap(), values);
    assert_eq!(Codec::F16.encode(&table, &values), Codec::F32.encode(&table, &values));
}

#[test]
fn a_negative_variance_is_refused() {
    let table = table(&[
        tensor("mean", &[3], Role::Buffer),
        tensor("variance", &[3], Role::BufferNonNegative),
    ]);
    for codec in [Codec::F32, Codec::F16] {
        let mut values = vec![-1.0, -1.0, -1.0, 0.0, -0.0, 2.0];
        assert!(through(codec, &table, &values).is_ok(), "a mean may be negative");
        values[4] = -f32::from_bits(1);
        let error = through(codec, &table, &values).unwrap_err();
        assert_eq!(error, CodecError::Negative("variance".into()));
    }
}

#[test]
#[should_panic(expected = "values do not match the shape table")]
fn encoding_another_models_values_panics() {
    drop(Codec::F32.encode(&half_table(Role::Parameter), &[0.0]));
}

#[test]
fn codecs_have_names() {
    for codec in [Codec::F32, Codec::F16] {
        assert_eq!(codec.to_string().parse(), Ok(codec));
    }
    assert!("f64".parse::<Codec>().unwrap_err().contains("use f16 or f32"));
}
