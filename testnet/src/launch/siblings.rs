//! The further mechanisms of a subnet, and what is seen of the validators of any.

use std::time::Instant;

use leoma_chain::ChainClient;
use leoma_protocol::Netuid;
use subxt::rpcs::RpcClient;

use super::Result;
use super::agreement::{Agreement, History, longest_agreement};
use super::environment::Addresses;
use super::mechanism::Mechanism;
use super::part::Part;
use super::plan::{NETUID, SubnetPlan, ValidatorPlan};
use super::starting::Validator;
use super::view::{MechanismView, ValidatorView};
use super::watch::{Watch, Watched};

/// A further mechanism of the subnet: a process of each validator, and what the chain shows of its
/// weights.
#[derive(Debug)]
pub(super) struct Sibling {
    mechanism: Mechanism,
    pub(super) watch: Watch,
    pub(super) validators: Vec<Validator>,
}

impl Sibling {
    /// Starts the processes.
    pub(super) fn start(
        mechanism: Mechanism,
        watch: Watch,
        mut validators: Vec<Validator>,
    ) -> Result<Self> {
        for validator in &mut validators {
            validator.part = Some(Part::start(validator.plan.clone())?);
        }
        Ok(Self { mechanism, watch, validators })
    }

    /// As it is seen now.
    pub(super) fn view(&self, plan: &SubnetPlan) -> MechanismView {
        let (validators, agreement) = seen(plan, &self.validators, &self.watch);
        MechanismView { mechanism: self.mechanism, validators, agreement }
    }
}

/// The chain as validators of this mechanism see it.
pub(super) async fn connect(addresses: &Addresses, mechanism: Mechanism) -> Result<ChainClient> {
    Ok(ChainClient::connect(&addresses.chain, mechanism.index(Netuid(NETUID))).await?)
}

/// Follows the weights of a mechanism.
pub(super) async fn watch(
    plan: &SubnetPlan,
    mechanism: Mechanism,
    chain: ChainClient,
    rpc: RpcClient,
    start: Instant,
) -> Result<Watch> {
    let validators = plan.validators.iter().map(|validator| validator.account.hotkey).collect();
    let (owner, weights) = (plan.owner.hotkey, plan.weights);
    let watched = Watched { validators, owner, weights, mechanism, start };
    Ok(Watch::start(chain, rpc, watched).await?)
}

/// The validators as they are seen now, and their longest agreement.
pub(super) fn seen(
    plan: &SubnetPlan,
    validators: &[Validator],
    watch: &Watch,
) -> (Vec<ValidatorView>, Option<Agreement>) {
    let seen = watch.seen();
    let view = |(plan, validator): (&ValidatorPlan, &Validator)| {
        let hotkey = plan.account.hotkey;
        ValidatorView {
            hotkey,
            running: validator.part.is_some(),
            status: validator.status,
            history: seen.histories.get(&hotkey).cloned().unwrap_or_default(),
        }
    };
    let views: Vec<ValidatorView> = plan.validators.iter().zip(validators).map(view).collect();
    let histories: Vec<&History> = views.iter().map(|view| &view.history).collect();
    let agreement = longest_agreement(&histories, &plan.owner.hotkey);
    (views, agreement)
}
