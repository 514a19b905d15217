//! A headless Chromium, told what to do over the pipe of its DevTools protocol: JSON messages, each followed by a zero byte.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than any answer takes, even on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with one page. It ends with this value.
pub struct Browser {
    process: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    calls: u64,
    /// What it told by itself and nobody has looked at yet.
    events: Vec<Value>,
    // Removed after the browser has ended.
    _profile: TempDir,
}

impl Browser {
    /// Starts one; `None` where none is installed. `$CHROME` names another.
    pub fn start() -> Option<Self> {
        let program = installed()?;
        let profile = tempfile::tempdir().expect("a folder for the profile");
        // It reads from descriptor 3 and writes to 4.
        let mut process = Command::new("sh")
            .args([
                "-c",
                r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#,
            ])
            .arg(program)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let input = process.stdin.take().expect("piped");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("the protocol is JSON");
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            process,
            input,
            messages,
            session: None,
            calls: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = browser.call(
            "Target.attachToTarget",
            json!({"targetId": target["targetId"], "flatten": true}),
        );
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Calls a method of the protocol.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.input
            .write_all(format!("{message}\0").as_bytes())
            .expect("the browser listens");
        loop {
            let mut answer = self.message();
            if answer["id"] == self.calls {
                assert_eq!(answer["error"], Value::Null, "{method}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    /// What an expression of the page's language comes to; promises are waited for.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let mut answer = self.call(
            "Runtime.evaluate",
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true}),
        );
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].take()
    }

    /// Opens a file.
    pub fn open(&mut self, path: &Path) {
        let url = format!("file://{}", path.display());
        let answer = self.call("Page.navigate", json!({"url": url}));
        assert_eq!(answer["errorText"], Value::Null, "{url}");
        let loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events.iter().any(loaded) {
            let event = self.message();
            self.events.push(event);
        }
    }

    /// Gives the page so many pixels.
    pub fn resize(&mut self, width: u32, height: u32) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        );
    }

    /// Presses a key that has a name.
    pub fn press(&mut self, key: &str, code: u32) {
        for kind in ["keyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}),
            );
        }
    }

    /// What it has told by itself since it was asked last, of these kinds.
    pub fn events(&mut self, methods: &[&str]) -> Vec<Value> {
        let (found, rest) = std::mem::take(&mut self.events)
            .into_iter()
            .partition(|event| methods.iter().any(|&method| event["method"] == method));
        self.events = rest;
        found
    }

    fn message(&self) -> Value {
        self.messages
            .recv_timeout(PATIENCE)
            .expect("the browser answers")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let close = "{\"id\":0,\"method\":\"Browser.close\"}\0";
        let asked = self.input.write_all(close.as_bytes());
        // The channel ends with the browser.
        let waited = asked.is_ok() && {
            while self.messages.recv_timeout(Duration::from_secs(10)).is_ok() {}
            matches!(self.process.try_wait(), Ok(Some(_)))
        };
        if !waited {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

fn installed() -> Option<PathBuf> {
    if let Some(program) = env::var_os("CHROME") {
        return Some(program.into());
    }
    let path = env::var_os("PATH")?;
    [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ]
    .iter()
    .flat_map(|name| env::split_paths(&path).map(move |folder| folder.join(name)))
    .find(|program| program.is_file())
}
