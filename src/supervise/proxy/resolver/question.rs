//! Questions and answers of DNS, as values.

use std::net::Ipv4Addr;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};

/// How long an answer holds, in seconds. A name keeps its address as long as the sandbox lives.
const TTL: u32 = 60;

/// What a question is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The name has this address.
    Address(Ipv4Addr),
    /// The name has addresses, but none of the kind that was asked for.
    Nothing,
    /// There is no such name here.
    NoName,
    /// Not now.
    Failure,
}

/// A question that can be answered.
#[derive(Debug, Clone)]
pub struct Question {
    id: u16,
    recursion: bool,
    query: Query,
}

impl Question {
    /// Reads a message with one question. `None`: it is none, and nobody waits for an answer.
    ///
    /// # Errors
    /// The message that refuses it.
    pub fn read(bytes: &[u8]) -> Option<Result<Self, Vec<u8>>> {
        let mut message = Message::from_vec(bytes).ok()?;
        let metadata = message.metadata;
        if metadata.message_type != MessageType::Query {
            return None;
        }
        let refuse = |code| Message::error_msg(metadata.id, metadata.op_code, code).to_vec().unwrap_or_default();
        match (metadata.op_code, message.queries.len(), message.queries.pop()) {
            (OpCode::Query, 1, Some(query)) => {
                Some(Ok(Self { id: metadata.id, recursion: metadata.recursion_desired, query }))
            }
            (OpCode::Query, ..) => Some(Err(refuse(ResponseCode::FormErr))),
            _ => Some(Err(refuse(ResponseCode::NotImp))),
        }
    }

    /// The name that is asked for, in ASCII.
    pub fn name(&self) -> String {
        self.query.name().to_ascii()
    }

    /// Whether an IPv4 address is asked for.
    pub fn is_for_address(&self) -> bool {
        self.query.query_class() == DNSClass::IN && matches!(self.query.query_type(), RecordType::A | RecordType::ANY)
    }

    /// Whether somebody wants to connect there: other questions are about mail, about names of addresses and the like.
    pub fn is_about_a_host(&self) -> bool {
        self.is_for_address() || self.query.query_type() == RecordType::AAAA
    }

    /// The message that answers it.
    pub fn reply(&self, answer: Answer) -> Vec<u8> {
        let mut message = Message::response(self.id, OpCode::Query);
        message.metadata.recursion_desired = self.recursion;
        message.metadata.recursion_available = true;
        message.metadata.response_code = match answer {
            Answer::Address(_) | Answer::Nothing => ResponseCode::NoError,
            Answer::NoName => ResponseCode::NXDomain,
            Answer::Failure => ResponseCode::ServFail,
        };
        message.add_query(self.query.clone());
        if let Answer::Address(address) = answer {
            message.add_answer(Record::from_rdata(self.query.name().clone(), TTL, RData::A(A(address))));
        }
        message.to_vec().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Name;
    use proptest::prelude::*;

    use super::*;

    fn message(name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.metadata.id = 7;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message
    }

    fn read(message: &Message) -> Option<Result<Question, Message>> {
        let read = Question::read(&message.to_vec().unwrap())?;
        Some(read.map_err(|refusal| Message::from_vec(&refusal).unwrap()))
    }

    #[test]
    fn a_question_is_answered_with_its_own_number_and_name() {
        let question = read(&message("PyPI.org.", RecordType::A)).unwrap().unwrap();
        assert!(question.is_for_address() && question.name().eq_ignore_ascii_case("pypi.org."));
        let address = Ipv4Addr::new(198, 18, 0, 2);
        let table = [
            (Answer::Address(address), ResponseCode::NoError, 1),
            (Answer::Nothing, ResponseCode::NoError, 0),
            (Answer::NoName, ResponseCode::NXDomain, 0),
            (Answer::Failure, ResponseCode::ServFail, 0),
        ];
        for (answer, code, records) in table {
            let reply = Message::from_vec(&question.reply(answer)).unwrap();
            assert_eq!((reply.metadata.id, reply.metadata.response_code), (7, code), "{answer:?}");
            assert_eq!(reply.answers.len(), records, "{answer:?}");
            assert_eq!(reply.queries.len(), 1);
        }
        for kind in [RecordType::AAAA, RecordType::HTTPS, RecordType::PTR, RecordType::TXT] {
            let question = read(&message("pypi.org.", kind)).unwrap().unwrap();
            assert!(!question.is_for_address(), "{kind}");
            assert_eq!(question.is_about_a_host(), kind == RecordType::AAAA, "{kind}");
        }
    }

    #[test]
    fn what_is_no_question_gets_no_answer_or_a_refusal() {
        let mut two = message("a.test.", RecordType::A);
        two.add_query(Query::query(Name::from_ascii("b.test.").unwrap(), RecordType::A));
        assert_eq!(read(&two).unwrap().unwrap_err().metadata.response_code, ResponseCode::FormErr);
        assert_eq!(read(&Message::query()).unwrap().unwrap_err().metadata.response_code, ResponseCode::FormErr);
        let mut update = message("a.test.", RecordType::A);
        update.metadata.op_code = OpCode::Update;
        assert_eq!(read(&update).unwrap().unwrap_err().metadata.response_code, ResponseCode::NotImp);
        let mut answer = message("a.test.", RecordType::A);
        answer.metadata.message_type = MessageType::Response;
        assert!(read(&answer).is_none() && Question::read(&[0; 5]).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(Ok(question)) = Question::read(&bytes) {
                prop_assert!(!question.reply(Answer::NoName).is_empty());
            }
        }
    }
}
