//! Questions of DNS: what is answered can be read again, and answers what was asked.
#![no_main]

use hickory_proto::op::{Message, MessageType};
use libfuzzer_sys::fuzz_target;
use ringfence::policy::net::host::Host;
use ringfence::supervise::proxy::resolver::question::{Answer, Question};

const ANSWERS: [Answer; 4] =
    [Answer::Address(std::net::Ipv4Addr::new(198, 18, 0, 2)), Answer::Nothing, Answer::NoName, Answer::Failure];

fuzz_target!(|bytes: &[u8]| {
    match Question::read(bytes) {
        None => {}
        Some(Err(refusal)) => {
            assert_eq!(Message::from_vec(&refusal).unwrap().metadata.message_type, MessageType::Response)
        }
        Some(Ok(question)) => {
            drop(Host::parse(&question.name()));
            for answer in ANSWERS {
                let reply = Message::from_vec(&question.reply(answer)).unwrap();
                assert_eq!(reply.metadata.message_type, MessageType::Response);
                assert_eq!(reply.metadata.id.to_be_bytes()[..], bytes[..2]);
                assert_eq!(reply.queries.len(), 1);
                assert_eq!(reply.queries[0].name().to_ascii(), question.name());
                assert_eq!(reply.answers.len(), usize::from(matches!(answer, Answer::Address(_))));
            }
        }
    }
});
