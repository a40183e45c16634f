//! Which processor trains: the cores through Flex, or a GPU through wgpu.

use std::time::Instant;

use burn_wgpu::graphics::AutoGraphicsApi;
use burn_wgpu::{RuntimeOptions, WgpuDevice, wgpu};
use model::{Device, Plan};
use protocol::message::DeviceKind;
use worker_core::probe;

use crate::arguments::DeviceChoice;

/// A processor that can train.
#[derive(Debug, Clone)]
pub struct Processor {
    /// What the coordinator is told.
    pub kind: DeviceKind,
    /// Its own name.
    pub name: String,
    /// Where Burn runs.
    pub device: Device,
}

/// A GPU adapter as the system lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// Its own name.
    pub name: String,
    /// The interface through which it is reached, such as `Vulkan`.
    pub backend: String,
    /// It is no card: the cores compute in its place.
    pub is_software: bool,
}

/// Why no processor could be opened.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// `--device wgpu` on a machine without a GPU driver.
    #[error(
        "no GPU adapter was found; install the graphics driver (on Debian without a GPU: \
         mesa-vulkan-drivers), or use --device cpu"
    )]
    NoAdapter,
    /// The adapter is there and does not open.
    #[error("the GPU adapter does not open: {0}; use --device cpu")]
    Open(String),
}

/// The processors that a choice allows, the preferred one first. Never empty.
///
/// `auto` leaves out software adapters: they run on the very cores that Flex uses better.
///
/// # Errors
/// When the choice names a processor that this machine does not have.
pub fn candidates(choice: DeviceChoice) -> Result<Vec<Processor>, DeviceError> {
    match choice {
        DeviceChoice::Cpu => Ok(vec![cores()]),
        DeviceChoice::Wgpu => Ok(vec![open_adapter()?]),
        #[cfg(feature = "cuda")]
        DeviceChoice::Cuda => Ok(vec![Processor {
            kind: DeviceKind::Gpu,
            name: "CUDA".to_owned(),
            device: Device::cuda(0),
        }]),
        DeviceChoice::Auto => {
            let hardware = adapters().iter().any(|adapter| !adapter.is_software);
            let gpu = if hardware { open_adapter().ok() } else { None };
            Ok(gpu.into_iter().chain([cores()]).collect())
        }
    }
}

fn cores() -> Processor {
    Processor { kind: DeviceKind::Cpu, name: "CPU".to_owned(), device: model::cpu() }
}

/// The GPU adapters of this machine, software ones included.
#[must_use]
pub fn adapters() -> Vec<Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    let described = |info: wgpu::AdapterInfo| Adapter {
        is_software: info.device_type == wgpu::DeviceType::Cpu,
        backend: format!("{:?}", info.backend),
        name: info.name,
    };
    found.iter().map(wgpu::Adapter::get_info).map(described).collect()
}

fn open_adapter() -> Result<Processor, DeviceError> {
    if adapters().is_empty() {
        return Err(DeviceError::NoAdapter);
    }
    let selector = WgpuDevice::default();
    let options = RuntimeOptions::try_default().map_err(|e| DeviceError::Open(e.to_string()))?;
    let setup = burn_wgpu::try_init_setup::<AutoGraphicsApi>(&selector, options)
        .map_err(|error| DeviceError::Open(error.to_string()))?;
    let name = setup.adapter.get_info().name;
    Ok(Processor { kind: DeviceKind::Gpu, name, device: Device::from(selector) })
}

/// The fastest of several processors on the run's model. A processor that fails to train is left
/// out; the first one stands when all fail.
#[must_use]
pub fn fastest(processors: &[Processor], plan: &Plan, batch_size: usize) -> usize {
    let start = Instant::now();
    let speed = |processor: &Processor| {
        let clock = || start.elapsed();
        let measured = probe::steps_per_second(plan, &processor.device, batch_size, clock);
        let speed = pollster::block_on(measured);
        if let Some(speed) = speed {
            tracing::info!("{} trains {speed:.0} steps/s on this model", processor.name);
        }
        speed
    };
    probe::fastest(&processors.iter().map(speed).collect::<Vec<_>>())
}
