use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Push(u8),
    Pop,
    SplitOff(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<u8>().prop_map(Step::Push),
        2 => Just(Step::Pop),
        1 => (0..4_usize).prop_map(Step::SplitOff),
    ]
}

proptest! {
    #[test]
    fn chunks_are_a_queue(steps in prop::collection::vec(step(), 0..40)) {
        let mut chunks = Chunks::default();
        let mut model = VecDeque::new();
        for step in steps {
            match step {
                Step::Push(it) => {
                    chunks.push(Bytes::from(vec![it]));
                    model.push_back(vec![it]);
                }
                Step::Pop => {
                    prop_assert_eq!(chunks.pop().map(Vec::from), model.pop_front());
                }
                Step::SplitOff(count) => {
                    let mut front = chunks.split_off_front(count);
                    for it in model.drain(..count.min(model.len())) {
                        prop_assert_eq!(front.pop().map(Vec::from), Some(it));
                    }
                    prop_assert!(front.is_empty());
                }
            }
            prop_assert_eq!(chunks.len(), model.len());
            for (index, it) in model.iter().enumerate() {
                prop_assert_eq!(chunks.get(index).unwrap(), it);
            }
            prop_assert_eq!(chunks.get(model.len()), None);
        }
    }
}
