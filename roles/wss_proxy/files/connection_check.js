(function () {
  'use strict';

  const OPEN_LIMIT = 15000;
  const ECHO_LIMIT = 5000;
  const ANSWER_LIMIT = 5000;
  // The cookie is read at the handshake only; it goes away with the session, and by itself an hour after a crash.
  const COOKIE_SECONDS = 3600;

  const byId = function (id) { return document.getElementById(id); };
  const form = byId('form');
  const place = byId('place');
  const tokenField = byId('token-field');
  const token = byId('token');
  const tokenError = byId('token-error');
  const result = byId('result');
  const isSignedToken = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
  const isOpaqueToken = new RegExp('^' + token.dataset.pattern + '$');

  let socket = null;
  let cookie = null;
  let echoes = 0;
  let echo = null;

  function chosen() {
    const option = place.selectedOptions[0];
    return {
      path: option.value,
      auth: option.dataset.auth,
      cookie: option.dataset.cookie,
      // A browser takes a cookie of this kind for the whole host only: RFC 6265bis 4.1.3.2.
      cookiePath: /^__Host-/i.test(option.dataset.cookie) ? '/' : option.value,
      idle: option.dataset.idle
    };
  }

  function takesSignedToken(auth) { return /(?:^|_)jwt/.test(auth); }
  function takesOpaqueToken(auth) { return /(?:^|_)token/.test(auth); }
  function takesToken(auth) { return takesOpaqueToken(auth) || takesSignedToken(auth); }
  function takesPassword(auth) { return /basic$/.test(auth); }
  // One of several methods is enough, and some of them are no tokens.
  function takesOthers(auth) { return /_or_(?:basic|external|client_certificate)/.test(auth); }

  function show(state, title, text) {
    result.dataset.state = state;
    byId('state').textContent = title;
    byId('explanation').textContent = text;
    const busy = state === 'connecting' || state === 'open';
    byId('connect').disabled = busy;
    byId('disconnect').disabled = !busy;
    byId('echo').disabled = state !== 'open';
    place.disabled = busy;
    token.disabled = busy;
  }

  function fact(id, text) { byId(id).textContent = text; }

  function advise(lines) {
    const list = byId('advice-list');
    list.textContent = '';
    lines.forEach(function (line) {
      const item = document.createElement('li');
      item.textContent = line;
      list.appendChild(item);
    });
    byId('advice').hidden = lines.length === 0;
  }

  function setCookie(at, value, seconds) {
    document.cookie = at.cookie + '=' + value + '; Path=' + at.cookiePath +
      '; Max-Age=' + seconds + '; Secure; SameSite=Strict';
    // Browsers store it in another process. Reading waits for that: a handshake before would leave without it.
    void document.cookie;
  }

  function clearCookie() {
    if (cookie) {
      setCookie(cookie, '', 0);
      cookie = null;
      fact('cookie', 'cleared');
    }
  }

  function forgetEcho() {
    if (echo) {
      clearTimeout(echo.timer);
      echo = null;
    }
  }

  // What the closing codes of RFC 6455 7.4.1 mean to the person in front of the page.
  function afterOpening(code, idle) {
    switch (code) {
      case 1000:
      case 1005:
        return ['closed', 'The session ended in the normal way.', []];
      case 1001:
        return ['closed', 'The other side went away.', ['Connect again: a server that restarts closes like this.']];
      case 1002:
      case 1003:
      case 1007:
        return ['failed', 'The WebSocket server did not understand what it was sent.',
          ['Look into the log of the WebSocket server. The gate passes messages on as they are.']];
      case 1006:
        return ['failed', 'The connection broke off without a goodbye.', [
          'After ' + idle + ' seconds without a message in either direction the gate ends a session. Have the ' +
            'client or the server send something now and then.',
          'When the token is taken back, its sessions end like this. Ask for a new token.',
          'Else the network broke, or the gate was restarted. Connect again.'
        ]];
      case 1008:
        return ['failed', 'The WebSocket server refused to go on: a rule of its own was broken.',
          ['Ask its operator which one; the gate had let you in.']];
      case 1009:
        return ['failed', 'A message was too big for the WebSocket server.',
          ['Send smaller messages, or raise the limit of the WebSocket server.']];
      case 1011:
        return ['failed', 'The WebSocket server ran into an error of its own.',
          ['Look into the log of the WebSocket server.']];
      case 1012:
      case 1013:
        return ['failed', 'The WebSocket server is restarting or busy.', ['Connect again in a minute.']];
      default:
        if (code >= 3000) {
          return ['failed', 'The WebSocket server ended the session with a code of its own.',
            ['Look up code ' + code + ' in its documentation.']];
        }
        return ['failed', 'The session ended in an unusual way.',
          ['Look into the logs of the gate and of the WebSocket server.']];
    }
  }

  function refused(at) {
    const lines = [];
    if (takesToken(at.auth)) {
      lines.push('Is the token complete, still valid and not taken back? Ask for a new one.');
      lines.push('Does another page of this site set a cookie named ' + at.cookie + ', too? Two of them are ' +
        'refused. Delete this site\u2019s cookies.');
    }
    if (takesPassword(at.auth)) {
      lines.push('Did this browser ask for the password of this site? Safari never sends it with a WebSocket; use ' +
        'a token there.');
    }
    if (/external/.test(at.auth)) {
      lines.push('Are you signed in? This location asks another service about you.');
    }
    lines.push('May pages of ' + window.location.origin + ' connect here? The location\u2019s origins say so.');
    lines.push('Too many attempts or sessions? Wait a moment.');
    lines.push('Does the WebSocket server behind the gate run? When it does not, it looks the same from here.');
    lines.push('The operator finds the reason of each refusal in the gate\u2019s access log.');
    return lines;
  }

  // A browser does not say why a handshake failed. Whether the gate is there can be found out: it answers a plain
  // request.
  function failed(at, isLate) {
    show('failed', 'Not connected', 'Finding out whether the gate answers\u2026');
    byId('connect').disabled = true;
    const signal = AbortSignal.timeout(ANSWER_LIMIT);
    fetch(at.path, { method: 'HEAD', cache: 'no-store',
      credentials: 'omit', redirect: 'manual', signal: signal }).then(function () {
      if (isLate) {
        show('failed', 'Not connected', 'The gate is there, but the WebSocket did not open within ' +
          OPEN_LIMIT / 1000 + ' seconds.');
        advise(['Does the WebSocket server behind the gate answer? Its operator should look.']);
      } else {
        show('failed', 'Not connected', 'The gate is there and did not let this WebSocket through.');
        advise(refused(at));
      }
    }, function (error) {
      if (error.name === 'TimeoutError') {
        show('failed', 'Not connected', 'The gate did not answer within ' + ANSWER_LIMIT / 1000 + ' seconds.');
      } else {
        show('failed', 'Not connected', 'The gate cannot be reached.');
      }
      advise([
        'Is this device online? Reload this page.',
        'Does a firewall or proxy on the way let HTTPS through to ' + window.location.host + '?'
      ]);
    });
  }

  function connect() {
    const at = chosen();
    fact('opening', '\u2013');
    fact('round-trip', '\u2013');
    fact('code', '\u2013');
    advise([]);
    if (takesToken(at.auth) && token.value) {
      setCookie(at, token.value, COOKIE_SECONDS);
      cookie = at;
      fact('cookie', at.cookie + ' set for ' + at.cookiePath);
    } else {
      fact('cookie', 'none');
    }
    show('connecting', 'Connecting', 'Opening wss://' + window.location.host + at.path);
    open(at);
  }

  function open(at) {
    const started = performance.now();
    const mine = new WebSocket('wss://' + window.location.host + at.path);
    let isOpened = false;
    let isLate = false;
    socket = mine;
    const late = setTimeout(function () { isLate = true; mine.close(); }, OPEN_LIMIT);
    mine.onopen = function () {
      isOpened = true;
      clearTimeout(late);
      fact('opening', Math.round(performance.now() - started) + ' ms');
      show('open', 'Connected', 'The gate let you in and the WebSocket server answered.');
    };
    mine.onmessage = function (event) {
      if (echo && event.data === echo.text) {
        fact('round-trip', (performance.now() - echo.sent).toFixed(1) + ' ms');
        byId('echo').disabled = false;
        forgetEcho();
      }
    };
    mine.onclose = function (event) {
      clearTimeout(late);
      forgetEcho();
      clearCookie();
      socket = null;
      fact('code', String(event.code));
      if (isOpened) {
        const meaning = afterOpening(event.code, at.idle);
        show(meaning[0], meaning[0] === 'closed' ? 'Closed' : 'Disconnected', meaning[1]);
        advise(meaning[2]);
      } else if (event.code === 1006 && mine.isGivenUp) {
        show('idle', 'Not connected', 'You stopped the attempt.');
      } else {
        failed(at, isLate);
      }
    };
  }

  function measure() {
    echoes += 1;
    const text = 'wssgate connection check ' + echoes;
    forgetEcho();
    byId('echo').disabled = true;
    fact('round-trip', 'waiting\u2026');
    echo = {
      text: text,
      sent: performance.now(),
      timer: setTimeout(function () {
        echo = null;
        fact('round-trip', 'no echo');
        byId('echo').disabled = false;
        advise(['This WebSocket server does not send back what it is sent, as most do not. The connection is open ' +
          'all the same.']);
      }, ECHO_LIMIT)
    };
    socket.send(text);
  }

  function chooseplace() {
    const at = chosen();
    const isOptional = takesOthers(at.auth);
    tokenField.hidden = !takesToken(at.auth);
    token.required = takesToken(at.auth) && !isOptional;
    byId('token-hint').textContent = isOptional
      ? takesPassword(at.auth) ? 'May stay empty if this browser knows a password for this site.'
      : 'May stay empty if you get in by other means.'
      : 'You get it from the operator of the server.';
    complain('');
  }

  function complain(text) {
    tokenError.textContent = text;
    tokenError.hidden = !text;
    token.setAttribute('aria-invalid', text ? 'true' : 'false');
  }

  form.addEventListener('submit', function (event) {
    event.preventDefault();
    token.value = token.value.trim();
    const isEither = takesSignedToken(chosen().auth) && takesOpaqueToken(chosen().auth);
    // A signed token has dots in it, and any other token has none.
    const isSigned = isEither ? token.value.indexOf('.') !== -1 : takesSignedToken(chosen().auth);
    const isToken = isSigned ? isSignedToken : isOpaqueToken;
    if (!tokenField.hidden && (token.value ? !isToken.test(token.value) : token.required)) {
      complain(!token.value ? 'Enter a token.'
        : isSigned ? 'This is no signed token: it has three parts with dots between.'
        : 'This is no token: it has 16 to 128 letters, digits, \u201c_\u201d and \u201c-\u201d.');
      token.focus();
      return;
    }
    complain('');
    connect();
  });
  byId('disconnect').addEventListener('click', function () {
    if (socket) {
      socket.isGivenUp = true;
      socket.close(1000);
    }
  });
  byId('echo').addEventListener('click', measure);
  place.addEventListener('change', chooseplace);
  token.addEventListener('input', function () { complain(''); });
  window.addEventListener('pagehide', function () {
    clearCookie();
    if (socket) { socket.close(1000); }
  });

  chooseplace();
  show('idle', 'Not connected', 'Nothing has been tried yet.');
}());
