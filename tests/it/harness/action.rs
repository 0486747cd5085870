//! An action as the store would read it, for what is pure.

use quarantine_bridge::alert::{
    Action, ActionId, DeliveryId, EntityPair, FileEntity, FoundAt, MachineActionRef, MachineEntity, State,
    Target,
};
use uuid::Uuid;

use super::{MACHINE, SHA1, start_of_time};

/// An action about the usual device and file, that Defender took at the start of time.
pub(crate) fn action(state: State) -> Action {
    Action {
        id: ActionId::new(Uuid::nil()),
        delivery_id: DeliveryId::new(Uuid::nil()),
        source: "soc".parse().unwrap(),
        alert_id: "a1".parse().unwrap(),
        severity: None,
        title: String::new(),
        url: None,
        occurred_at: None,
        pair: EntityPair {
            machine: MachineEntity::default(),
            file: FileEntity::default(),
            candidates: Vec::new(),
            found_at: FoundAt::default(),
        },
        target: Some(Target { machine_id: MACHINE.parse().unwrap(), sha1: SHA1.parse().unwrap() }),
        requested: None,
        retry_of: None,
        completion: None,
        approved_at: None,
        held_reason: None,
        accepted_at: start_of_time(),
        state,
        changed_at: start_of_time(),
        expires_at: None,
        attempts: 1,
        machine_action: Some(MachineActionRef {
            id: "5382f7ea-7557-4ab7-9782-d50480024a4e".parse().unwrap(),
            status: "Pending".to_owned(),
            since: start_of_time(),
        }),
    }
}
