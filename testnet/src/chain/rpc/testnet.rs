//! `testnet_*`: steering the chain. No live chain has these methods; they answer only where the
//! chain was started with its controls open.
//!
//! | method | parameters | answer |
//! |---|---|---|
//! | `testnet_heads` | | both heads |
//! | `testnet_step` | blocks | both heads |
//! | `testnet_runTo` | block | both heads, short of the block where it is far |
//! | `testnet_reorg` | depth, growth (1) | both heads |
//! | `testnet_setFinalityLag` | blocks | both heads |
//! | `testnet_stallFinality`, `testnet_resumeFinality` | | both heads |
//! | `testnet_stallProduction`, `testnet_resumeProduction` | | both heads |
//! | `testnet_setClockSkew` | seconds | both heads |
//! | `testnet_setKeptStates` | blocks or null | both heads |
//! | `testnet_changeOwner` | netuid, hotkey | both heads |
//! | `testnet_skipRound` | round of the beacon | both heads |
//! | `testnet_upgradeSpec`, `testnet_upgradeToTypedIds` | | the new spec version |

use super::super::control::{ControlError, Controls, Heads, MAX_STEPS};
use super::context::{Answer, Context, Module, Registered, bad_parameter, failed};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use node_subtensor_runtime::{AccountId, TYPED_IDS};

/// What the names of these methods begin with.
pub(super) const PREFIX: &str = "testnet_";

/// The chain was started without its controls.
const CLOSED: i32 = 4_100;
/// A control could not be used.
const REFUSED: i32 = 4_101;

pub(super) fn register(module: &mut Module) -> Registered {
    steer(module, "testnet_heads", |controls, _| Ok(controls.heads()))?;
    steer(module, "testnet_step", |controls, params| {
        let blocks: u32 = params.one()?;
        if blocks > MAX_STEPS {
            return Err(bad_parameter(format!("at most {MAX_STEPS} blocks at once")));
        }
        controls.step_now(blocks).map_err(refused)
    })?;
    steer(module, "testnet_runTo", |controls, params| {
        controls.run_to_now(params.one()?, MAX_STEPS).map_err(refused)
    })?;
    steer(module, "testnet_reorg", |controls, params| {
        let mut params = params.sequence();
        let depth = params.next()?;
        let growth = params.optional_next()?.unwrap_or(1);
        controls.reorg_now(depth, growth).map_err(refused)
    })?;
    steer(module, "testnet_setFinalityLag", |controls, params| {
        let blocks = params.one()?;
        controls.switch_now(|switches| switches.finality_lag = blocks).map_err(refused)
    })?;
    for (name, stalled) in [("testnet_stallFinality", true), ("testnet_resumeFinality", false)] {
        steer(module, name, move |controls, _| {
            controls.switch_now(|switches| switches.finality_stalled = stalled).map_err(refused)
        })?;
    }
    for (name, stalled) in [("testnet_stallProduction", true), ("testnet_resumeProduction", false)]
    {
        steer(module, name, move |controls, _| {
            controls.switch_now(|switches| switches.production_stalled = stalled).map_err(refused)
        })?;
    }
    steer(module, "testnet_setClockSkew", |controls, params| {
        let seconds: i64 = params.one()?;
        controls
            .switch_now(|switches| switches.clock.set_skew(seconds.saturating_mul(1_000)))
            .map_err(refused)
    })?;
    steer(module, "testnet_setKeptStates", |controls, params| {
        let blocks = params.sequence().optional_next()?;
        controls.switch_now(|switches| switches.kept_states = blocks).map_err(refused)
    })?;
    steer(module, "testnet_changeOwner", |controls, params| {
        let owner: (u16, AccountId) = params.parse()?;
        controls.switch_now(|switches| switches.orders.owner = Some(owner)).map_err(refused)
    })?;
    steer(module, "testnet_skipRound", |controls, params| {
        let round: u64 = params.one()?;
        controls
            .switch_now(|switches| {
                switches.orders.skipped.insert(round);
            })
            .map_err(refused)
    })?;
    for (name, least) in [("testnet_upgradeSpec", 0), ("testnet_upgradeToTypedIds", TYPED_IDS)] {
        module.register_blocking_method(name, move |_, context, _| -> Answer<u32> {
            opened(&context)?.upgrade_spec_now(least).map_err(refused)
        })?;
    }
    Ok(())
}

/// Registers a method that answers where the chain is after it.
fn steer(
    module: &mut Module,
    name: &'static str,
    action: impl Fn(&Controls, &Params<'_>) -> Answer<Heads> + Clone + Send + Sync + 'static,
) -> Registered {
    module.register_blocking_method(name, move |params, context, _| {
        action(opened(&context)?, &params)
    })?;
    Ok(())
}

fn opened(context: &Context) -> Answer<&Controls> {
    context.controls.as_ref().ok_or_else(|| {
        ErrorObjectOwned::owned(
            CLOSED,
            "the chain was started without --controls: it cannot be steered",
            None::<()>,
        )
    })
}

fn refused(error: ControlError) -> ErrorObjectOwned {
    match error {
        ControlError::Chain(error) => failed(error),
        error => ErrorObjectOwned::owned(REFUSED, error.to_string(), None::<()>),
    }
}
