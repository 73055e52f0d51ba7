//! Updates: which fields of a resource a request writes.
//!
//! Without a mask exactly the fields that are present: messages are merged field by field, lists and branches of a oneof
//! are replaced. With a mask exactly its paths: one that is absent in the request is cleared.

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};

use crate::domain::{Error, Result};
use crate::proto::DESCRIPTOR_SET;

/// The longest mask that is read: no resource has as many fields.
const MAX_PATHS: usize = 200;

/// `present` with what `update` writes, by presence or by `mask`. `message` is the resource's name, and `fixed` names its
/// fields that no update writes. Errors: `UpdateMaskInvalid`.
pub fn merge<M: Message + Default>(
    message: &str,
    fixed: &[&str],
    present: &M,
    update: &M,
    mask: Option<&prost_types::FieldMask>,
) -> Result<M> {
    let descriptor = descriptor(message)?;
    let mut into = dynamic(&descriptor, present)?;
    let from = dynamic(&descriptor, update)?;
    let open: Vec<FieldDescriptor> = descriptor.fields().filter(|field| !fixed.contains(&field.name())).collect();
    match mask {
        None => merge_present(&mut into, &from, &open),
        Some(mask) if mask.paths.len() > MAX_PATHS => {
            return Err(Error::field("update_mask", format!("names {} paths; allowed are {MAX_PATHS}", mask.paths.len())));
        }
        Some(mask) => {
            for path in &mask.paths {
                let refused = || Error::UpdateMaskInvalid { path: path.chars().take(128).collect() };
                if path == "*" {
                    open.iter().for_each(|field| write(&mut into, &from, field));
                    continue;
                }
                let steps = resolve(&descriptor, path).ok_or_else(refused)?;
                if !open.contains(&steps[0]) {
                    return Err(refused());
                }
                write_path(&mut into, Some(&from), &steps);
            }
        }
    }
    into.transcode_to().map_err(Error::internal)
}

fn descriptor(message: &str) -> Result<MessageDescriptor> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    let pool = POOL.get_or_init(|| DescriptorPool::decode(DESCRIPTOR_SET).ok()).as_ref();
    pool.and_then(|pool| pool.get_message_by_name(&format!("reprise.v1.{message}")))
        .ok_or_else(|| Error::internal(format!("`{message}` is not in the descriptor set")))
}

fn dynamic<M: Message>(descriptor: &MessageDescriptor, message: &M) -> Result<DynamicMessage> {
    let mut dynamic = DynamicMessage::new(descriptor.clone());
    dynamic.transcode_from(message).map_err(Error::internal)?;
    Ok(dynamic)
}

/// Whether a field is a message of ours that is merged, rather than one value: a list, a branch, a duration.
fn is_merged(field: &FieldDescriptor) -> bool {
    let ours = matches!(field.kind(), Kind::Message(message) if message.package_name() == "reprise.v1");
    ours && !field.is_list() && !field.is_map() && field.containing_oneof().is_none()
}

fn merge_present(into: &mut DynamicMessage, from: &DynamicMessage, fields: &[FieldDescriptor]) {
    for field in fields.iter().filter(|field| from.has_field(field)) {
        match (is_merged(field) && into.has_field(field), from.get_field(field).as_message()) {
            (true, Some(inner)) => {
                let fields: Vec<FieldDescriptor> = inner.descriptor().fields().collect();
                if let Some(target) = into.get_field_mut(field).as_message_mut() {
                    merge_present(target, inner, &fields);
                }
            }
            _ => write(into, from, field),
        }
    }
}

fn write(into: &mut DynamicMessage, from: &DynamicMessage, field: &FieldDescriptor) {
    if from.has_field(field) {
        into.set_field(field, from.get_field(field).into_owned());
    } else {
        into.clear_field(field);
    }
}

/// The fields along a dotted path of snake_case names; none when it leads nowhere, or through a list or a foreign message.
fn resolve(descriptor: &MessageDescriptor, path: &str) -> Option<Vec<FieldDescriptor>> {
    let mut steps: Vec<FieldDescriptor> = Vec::new();
    for name in path.split('.') {
        let parent = match steps.last() {
            None => descriptor.clone(),
            Some(field) if field.is_list() || field.is_map() => return None,
            Some(field) => match field.kind() {
                Kind::Message(message) if message.package_name() == "reprise.v1" => message,
                _ => return None,
            },
        };
        steps.push(parent.get_field_by_name(name)?);
    }
    Some(steps)
}

fn write_path(into: &mut DynamicMessage, from: Option<&DynamicMessage>, steps: &[FieldDescriptor]) {
    let [field, rest @ ..] = steps else { return };
    let given = from.filter(|from| from.has_field(field));
    if rest.is_empty() {
        match from {
            Some(from) => write(into, from, field),
            None => into.clear_field(field),
        }
        return;
    }
    // Clearing something within a message that is not there changes nothing, and must not bring it into being.
    if given.is_none() && !into.has_field(field) {
        return;
    }
    let inner = given.map(|from| from.get_field(field).into_owned());
    if let Value::Message(target) = into.get_field_mut(field) {
        write_path(target, inner.as_ref().and_then(Value::as_message), rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;

    const FIXED: [&str; 2] = ["id", "slug"];

    fn stored() -> v1::Trigger {
        let prompt = v1::PromptAction { template: "old".to_owned(), follow_up_template: Some("more".to_owned()) };
        v1::Trigger {
            id: "trg_1".to_owned(),
            slug: "review".to_owned(),
            enabled: Some(true),
            display_name: Some("Review".to_owned()),
            author_rule: Some(v1::AuthorRule { allow: vec!["ann".to_owned()], deny: vec!["bob".to_owned()], ..Default::default() }),
            action: Some(v1::trigger::Action::Prompt(prompt)),
            run_limits: Some(v1::RunLimits { max_turns: Some(5), max_cost_usd: Some(2.0), ..Default::default() }),
            ..Default::default()
        }
    }

    fn update(update: v1::Trigger, paths: Option<&[&str]>) -> Result<v1::Trigger> {
        let mask = paths.map(|paths| prost_types::FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() });
        merge("Trigger", &FIXED, &stored(), &update, mask.as_ref())
    }

    #[test]
    fn without_a_mask_exactly_what_is_present_is_written() {
        let off = v1::Trigger { id: "x".to_owned(), enabled: Some(false), ..Default::default() };
        assert_eq!(update(off, None).expect("valid"), v1::Trigger { enabled: Some(false), ..stored() });
    }

    #[test]
    fn messages_merge_lists_and_branches_replace() {
        let change = v1::Trigger {
            author_rule: Some(v1::AuthorRule { allow: vec!["eve".to_owned()], ..Default::default() }),
            action: Some(v1::trigger::Action::Prompt(v1::PromptAction { template: "new".to_owned(), follow_up_template: None })),
            run_limits: Some(v1::RunLimits { max_turns: Some(0), ..Default::default() }),
            ..Default::default()
        };
        let merged = update(change.clone(), None).expect("valid");
        let rule = merged.author_rule.expect("kept");
        assert_eq!((rule.allow, rule.deny), (vec!["eve".to_owned()], vec!["bob".to_owned()]));
        assert_eq!(merged.action, change.action);
        let limits = merged.run_limits.expect("kept");
        assert_eq!((limits.max_turns, limits.max_cost_usd), (Some(0), Some(2.0)));
    }

    #[test]
    fn a_mask_writes_and_clears_exactly_its_paths() {
        let change = v1::Trigger { enabled: Some(false), display_name: Some("New".to_owned()), ..Default::default() };
        let merged =
            update(change, Some(&["display_name", "run_limits.max_turns", "author_rule.allow", "agent.claude.model"])).expect("valid");
        assert_eq!((merged.enabled, merged.display_name.as_deref()), (Some(true), Some("New")));
        assert_eq!(merged.run_limits.map(|l| (l.max_turns, l.max_cost_usd)), Some((None, Some(2.0))));
        assert_eq!(merged.author_rule.map(|r| (r.allow.len(), r.deny.len())), Some((0, 1)));
        assert_eq!(merged.agent, None);
    }

    #[test]
    fn a_path_within_a_branch_changes_to_that_branch() {
        let skill = v1::SkillAction { name: "triage".to_owned(), arguments: "x".to_owned(), ..Default::default() };
        let change = v1::Trigger { action: Some(v1::trigger::Action::Skill(skill)), ..Default::default() };
        let Some(v1::trigger::Action::Skill(skill)) = update(change, Some(&["skill.name"])).expect("valid").action else {
            panic!("no skill")
        };
        assert_eq!((skill.name.as_str(), skill.arguments.as_str()), ("triage", ""));
    }

    #[test]
    fn a_star_replaces_everything_but_what_is_fixed() {
        let change = v1::Trigger { id: "other".to_owned(), enabled: Some(false), ..Default::default() };
        let merged = update(change, Some(&["*"])).expect("valid");
        assert_eq!(merged, v1::Trigger { id: "trg_1".to_owned(), slug: "review".to_owned(), enabled: Some(false), ..Default::default() });
    }

    #[test]
    fn an_unknown_or_fixed_path_is_refused_by_name() {
        for path in ["", "nope", "slug", "enabled.x", "author_rule.allow.x", "runLimits", "run_limits.timeout.seconds", "id"] {
            match update(v1::Trigger::default(), Some(&[path])) {
                Err(Error::UpdateMaskInvalid { path: named }) => assert_eq!(named, path),
                other => panic!("{path}: {other:?}"),
            }
        }
    }
}
