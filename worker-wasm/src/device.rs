//! Which processor trains: the cores through Flex, or the graphics card through WebGPU.

use burn_wgpu::graphics::AutoGraphicsApi;
use burn_wgpu::{RuntimeOptions, WgpuDevice, wgpu};
use model::Device;
use protocol::message::DeviceKind;

use crate::news::Choice;
use crate::shell;

/// A processor that can train.
#[derive(Debug, Clone)]
pub(crate) struct Processor {
    /// What the coordinator is told.
    pub(crate) kind: DeviceKind,
    /// Its own name.
    pub(crate) name: String,
    /// Where Burn runs.
    pub(crate) device: Device,
}

/// The processors that a choice allows, the preferred one first. Never empty.
///
/// # Errors
/// One sentence when WebGPU was asked for and does not open.
pub(crate) async fn candidates(choice: Choice) -> Result<Vec<Processor>, String> {
    let cores = Processor { kind: DeviceKind::Cpu, name: "CPU".to_owned(), device: model::cpu() };
    match choice {
        Choice::Cpu => Ok(vec![cores]),
        Choice::WebGpu => Ok(vec![open_adapter().await?]),
        Choice::Auto => Ok(match open_adapter().await {
            Ok(adapter) => vec![adapter, cores],
            Err(_) => vec![cores],
        }),
    }
}

/// Opens the page's one adapter. May be called once: a second set-up of a selector is an error.
async fn open_adapter() -> Result<Processor, String> {
    let selector = WgpuDevice::default();
    let options = RuntimeOptions::try_default().map_err(|error| error.to_string())?;
    let setup = burn_wgpu::try_init_setup_async::<AutoGraphicsApi>(&selector, options)
        .await
        .map_err(|error| format!("WebGPU does not open: {error}"))?;
    if !setup.adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
        // The mathematics library panics without it.
        return Err("this browser's WebGPU has no timestamp-query".to_owned());
    }
    setup.device.set_device_lost_callback(|_, message| shell::device_lost(&message));
    let info = setup.adapter.get_info();
    let name = [&info.name, &info.driver].into_iter().find(|name| !name.is_empty());
    let name = name.map_or_else(|| "WebGPU".to_owned(), |name| format!("WebGPU {name}"));
    Ok(Processor { kind: DeviceKind::Gpu, name, device: Device::from(selector) })
}
