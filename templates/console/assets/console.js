// Keeps pages up to date; without it, they are reloaded by hand.
(() => {
  const el = (id) => document.getElementById(id);
  const waiting = new Map();
  let source, timer, pause, lost, restarted;
  let server = document.body.dataset.server;

  const say = (text, kind) => {
    if (el('live').textContent !== text) el('live').textContent = text;
    el('live').className = kind;
  };
  // Where somebody is at work, changes wait until they leave; while a form is filled in, everywhere: nothing may move
  // away from under a click.
  const filling = () => document.activeElement.closest('main form[method=post]');
  const busy = (part) => part !== document.body && (filling() || part.contains(document.activeElement));

  function put(part, version, html) {
    if (busy(part)) return waiting.set(part, [version, html]);
    waiting.delete(part);
    const fields = () => [...part.querySelectorAll('input:not([type=hidden])')];
    const typed = fields().map((field) => field.value !== field.defaultValue && field.value);
    const stage = () => part.querySelector('[data-say]')?.dataset.say;
    const before = stage();
    part.innerHTML = html;
    part.dataset.v = version;
    fields().forEach((field, i) => {
      if (typeof typed[i] === 'string') field.value = typed[i];
    });
    if (before !== stage()) el('say').textContent = stage() ?? '';
  }

  function add(part, version, html) {
    part.insertAdjacentHTML('afterbegin', html);
    part.dataset.v = version;
    while (part.rows.length > part.dataset.most) part.lastElementChild.remove();
  }

  // What the stream does not carry is taken from the page as another server shows it.
  async function reload() {
    const answer = await fetch(location.href, { redirect: 'manual' }).catch(() => 0);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const part of document.querySelectorAll('[data-part]')) {
      const now = page.getElementById(part.id);
      if (now && now.innerHTML !== part.innerHTML && !busy(part)) part.innerHTML = now.innerHTML;
    }
    el('say').textContent = 'What changed was loaded again.';
  }

  // How the page stands, while there is a stream.
  function tell() {
    if (source?.readyState !== 1 || lost === 1) return;
    if (filling()) return say('Still, while you fill in the form', 'off');
    say(restarted ? 'Reconnected; the server was restarted at ' + restarted : lost ? 'Live, reconnected at ' + lost : 'Live', 'on');
  }

  const receive = (change) => ({ data }) => {
    const end = data.indexOf('\n');
    const [id, version] = data.slice(0, end).split(' ');
    if (el(id)) change(el(id), version, data.slice(end + 1));
  };

  function open() {
    clearTimeout(timer);
    source?.close();
    const have = [...document.querySelectorAll('[data-v]')].map((part) => part.id + ':' + part.dataset.v);
    source = new EventSource('/console/live?have=' + encodeURIComponent(have));
    source.addEventListener('put', receive(put));
    source.addEventListener('add', receive(add));
    source.addEventListener('server', ({ data }) => {
      const id = data.split(' ', 1)[0];
      if (id === server) return;
      server = id;
      restarted = data.slice(id.length + 1);
      reload();
    });
    source.addEventListener('at', ({ data }) => {
      pause = 500;
      if (lost === 1) lost = data;
      if (!filling()) el('at').textContent = data;
      tell();
    });
    source.onerror = async () => {
      const refused = source.readyState === 2;
      source.close();
      lost = 1;
      say('Reconnecting…', 'off');
      pause = Math.min(pause * 2, 10000);
      timer = setTimeout(open, pause);
      if (!refused) return;
      const page = await fetch('/console', { method: 'HEAD', redirect: 'manual' }).catch(() => 0);
      if (page.type !== 'opaqueredirect') return;
      clearTimeout(timer);
      say('Signed out. Reload to sign in.', 'off');
    };
  }

  document.addEventListener('focusout', () => setTimeout(() => {
    for (const [part, change] of waiting) put(part, ...change);
    tell();
  }));
  document.addEventListener('focusin', tell);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) return open();
    clearTimeout(timer);
    source.close();
    say('Paused', 'off');
  });
  // The outcome is read once: a reload does not repeat it.
  const here = new URL(location);
  if (here.searchParams.has('changed') || here.searchParams.has('said')) {
    here.searchParams.delete('changed');
    here.searchParams.delete('said');
    history.replaceState(null, '', here);
  }
  if (el('outcome')) el('outcome').focus();
  pause = 500;
  say('Connecting…', 'off');
  open();
})();
