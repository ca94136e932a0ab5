//! Servers in containers.

use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, Image, ImageExt, TestcontainersError};
use testcontainers_modules::postgres::Postgres;
use testcontainers_modules::redis::{REDIS_PORT, Redis};

use super::{Service, run};

/// Starts a container that ends with the run, and gives the server's URL.
pub(super) async fn start(service: Service) -> Result<String, TestcontainersError> {
    match service {
        Service::Postgres => {
            let image = Postgres::default().with_db_name("postgres").with_user("postgres");
            let container = start_image(service, image).await?;
            let address = address(container, 5432).await?;
            Ok(format!("postgres://postgres:postgres@{address}/postgres"))
        }
        Service::Redis => {
            let container = start_image(service, Redis::default()).await?;
            Ok(format!("redis://{}", address(container, REDIS_PORT).await?))
        }
    }
}

async fn start_image<I: Image + 'static>(
    service: Service,
    image: I,
) -> Result<&'static ContainerAsync<I>, TestcontainersError> {
    let (variable, official) = service.image();
    let name = super::variable(variable).unwrap_or_else(|| official.to_owned());
    // A colon with a slash behind it belongs to the registry's port.
    let tagged = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
    let (name, tag) = tagged.unwrap_or((&name, "latest"));
    let container = image.with_name(name).with_tag(tag).start().await?;
    run::clean_up_after(service, "docker rm --force --volumes \"$1\"", &[container.id()]);
    // Never dropped: dropping would end it with this test, and others of the run use it.
    Ok(Box::leak(Box::new(container)))
}

async fn address<I: Image>(
    container: &ContainerAsync<I>,
    port: u16,
) -> Result<String, TestcontainersError> {
    let host = container.get_host().await?;
    Ok(format!("{host}:{}", container.get_host_port_ipv4(port).await?))
}
