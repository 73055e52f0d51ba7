//! A client over the generated stubs, with the test key.

use std::time::Duration;

use reprise::proto::v1::{
    self, access_service_client, run_service_client, session_service_client, settings_service_client, trigger_service_client,
};
use tonic::codegen::InterceptedService;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::server::{KEY, Server};

/// Adds the key to each call.
#[derive(Debug, Clone)]
pub(crate) struct Keyed;

impl Interceptor for Keyed {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = MetadataValue::try_from(format!("Bearer {KEY}")).expect("ascii");
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

type Keyring = InterceptedService<Channel, Keyed>;

/// All services of one server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) triggers: trigger_service_client::TriggerServiceClient<Keyring>,
    pub(crate) runs: run_service_client::RunServiceClient<Keyring>,
    pub(crate) sessions: session_service_client::SessionServiceClient<Keyring>,
    pub(crate) settings: settings_service_client::SettingsServiceClient<Keyring>,
    pub(crate) access: access_service_client::AccessServiceClient<Keyring>,
}

impl Client {
    /// Connects to a server.
    pub(crate) async fn connect(server: &Server) -> Self {
        Self::on(Endpoint::from_shared(server.url.clone()).expect("a url").connect().await.expect("connected"))
    }

    /// Connects when it is first used, to a server that may not be there.
    pub(crate) fn lazy(url: &str) -> Self {
        Self::on(Endpoint::from_shared(url.to_owned()).expect("a url").connect_lazy())
    }

    fn on(channel: Channel) -> Self {
        Self {
            triggers: trigger_service_client::TriggerServiceClient::with_interceptor(channel.clone(), Keyed),
            runs: run_service_client::RunServiceClient::with_interceptor(channel.clone(), Keyed),
            sessions: session_service_client::SessionServiceClient::with_interceptor(channel.clone(), Keyed),
            settings: settings_service_client::SettingsServiceClient::with_interceptor(channel.clone(), Keyed),
            access: access_service_client::AccessServiceClient::with_interceptor(channel, Keyed),
        }
    }

    /// A GitHub trigger of this slug that continues sessions and queues each delivery; gives its hook URL and secret.
    pub(crate) async fn github_trigger(&mut self, slug: &str, change: impl FnOnce(&mut v1::Trigger)) -> (String, String) {
        let mut trigger = v1::Trigger {
            slug: slug.to_owned(),
            source: v1::Source::Github.into(),
            resume_sessions: Some(true),
            busy: Some(v1::BusyPolicy { policy: Some(v1::busy_policy::Policy::Queue(v1::QueuePolicy {})) }),
            action: Some(v1::trigger::Action::Prompt(v1::PromptAction {
                template: "Review the pull request. {{ event.text }}".to_owned(),
                follow_up_template: None,
            })),
            ..v1::Trigger::default()
        };
        change(&mut trigger);
        let made = self
            .triggers
            .create_trigger(v1::CreateTriggerRequest { trigger: Some(trigger), ..Default::default() })
            .await
            .expect("created")
            .into_inner();
        (made.trigger.expect("a trigger").webhook_url.clone(), made.secret)
    }

    /// The run.
    pub(crate) async fn run(&mut self, run_id: &str) -> v1::Run {
        let request = v1::GetRunRequest { run_id: run_id.to_owned() };
        self.runs.get_run(request).await.expect("found").into_inner().run.expect("a run")
    }

    /// Waits for the run's end, and gives it.
    pub(crate) async fn ended(&mut self, run_id: &str) -> v1::Run {
        self.watch(run_id).await.1
    }

    /// Everything that was said in the run, and the run at its end.
    pub(crate) async fn watch(&mut self, run_id: &str) -> (Vec<v1::JournalEntry>, v1::Run) {
        let request = v1::WatchRunRequest { run_id: run_id.to_owned(), ..Default::default() };
        let reading = async {
            let mut stream = self.runs.watch_run(request).await.expect("watched").into_inner();
            let (mut entries, mut last) = (Vec::new(), v1::Run::default());
            while let Some(message) = stream.message().await.expect("a message") {
                match message.event {
                    Some(v1::watch_run_response::Event::Entry(entry)) => entries.push(entry),
                    Some(v1::watch_run_response::Event::Run(run)) => last = run,
                    _ => {}
                }
            }
            (entries, last)
        };
        tokio::time::timeout(Duration::from_secs(60), reading).await.expect("the run ended within 60 s")
    }

    /// The session of a thread.
    pub(crate) async fn session(&mut self, trigger: &str, thread_key: &str) -> v1::Session {
        let request = v1::GetSessionRequest { trigger_id: trigger.to_owned(), thread_key: thread_key.to_owned(), ..Default::default() };
        self.sessions.get_session(request).await.expect("found").into_inner().session.expect("a session")
    }
}
