//! Reads Jupyter's messages from a socket: checks their signature, and fills in what clients may leave out.

use anyhow::{Result, anyhow};
use jupyter_protocol::JupyterMessage;
use jupyter_zmq_client::{Connection, RawMessage};
use serde_json::{Value, json};
use zeromq::SocketRecv;

/// The next message.
///
/// # Errors
/// When it is not signed with the connection's key, or is not what the protocol says.
pub async fn read<S: SocketRecv>(connection: &mut Connection<S>) -> Result<JupyterMessage> {
    let received = connection.socket.recv().await?;
    parse(RawMessage::from_multipart(received, &connection.mac)?)
}

fn parse(raw: RawMessage) -> Result<JupyterMessage> {
    let [header, parent, metadata, content] =
        [0, 1, 2, 3].map(|part| serde_json::from_slice::<Value>(&raw.jparts[part]));
    let (header, mut content) = (header?, content?);
    let kind = header["msg_type"].as_str().unwrap_or_default().to_owned();
    if let (Value::Object(defaults), Value::Object(content)) = (defaults(&kind), &mut content) {
        for (name, value) in defaults {
            content.entry(name).or_insert(value);
        }
    }
    // A message that answers none has an empty parent.
    let parent = Some(parent?).filter(|parent| parent.get("msg_id").is_some());
    let message = json!({
        "header": header,
        "parent_header": parent.unwrap_or_else(|| json!({})),
        "metadata": metadata?,
        "content": content,
        "buffers": [],
    });
    let message = JupyterMessage::from_value(message).map_err(|error| anyhow!("{kind}: {error}"))?;
    Ok(message.with_zmq_identities(raw.zmq_identities))
}

/// What stands in a message of this kind where the client says nothing.
fn defaults(kind: &str) -> Value {
    match kind {
        "execute_request" => json!({"silent": false, "store_history": true, "user_expressions": {}}),
        "history_request" => json!({
            "output": false, "raw": true, "session": 0, "start": 0, "stop": i32::MAX, "pattern": "*", "unique": false,
            "n": i32::MAX,
        }),
        "shutdown_request" => json!({"restart": false}),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jupyter_protocol::{HistoryRequest, JupyterMessageContent};

    fn message(kind: &str, content: Value) -> Result<JupyterMessage> {
        let header = json!({"msg_id": "1", "username": "a", "session": "s", "date": "2026-01-01T00:00:00Z",
                            "msg_type": kind, "version": "5.4"});
        let parts = [header, json!({}), json!({}), content].map(|part| part.to_string().into_bytes().into());
        parse(RawMessage { zmq_identities: vec![b"me".to_vec().into()], jparts: parts.to_vec() })
    }

    #[test]
    fn what_a_client_leaves_out_is_filled_in() {
        let asked = message("history_request", json!({"hist_access_type": "search", "pattern": "1?2*"})).unwrap();
        assert!(matches!(
            asked.content,
            JupyterMessageContent::HistoryRequest(HistoryRequest::Search { n: i32::MAX, unique: false, .. })
        ));
        assert_eq!(asked.zmq_identities.len(), 1);
        assert!(asked.parent_header.is_none());
        let asked = message("execute_request", json!({"code": "1"})).unwrap();
        assert!(matches!(asked.content, JupyterMessageContent::ExecuteRequest(execute) if execute.store_history));
    }

    #[test]
    fn nonsense_is_an_error_that_names_its_kind() {
        let error = message("execute_request", json!({"code": 7})).unwrap_err().to_string();
        assert!(error.starts_with("execute_request: "), "{error}");
    }
}
