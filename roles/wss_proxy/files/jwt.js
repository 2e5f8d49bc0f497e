/*
 * Judges signed tokens (JWT: RFC 7519, with the advice of RFC 8725) for the gate.
 *
 * It runs in njs, from 0.7.9 on, in a request of its own: njs keeps the memory of a request until that ends, which a
 * session's does after hours. The session's request asks a server of the same nginx, which has this answer it.
 *
 * Ansible has checked the keys and the rules; they are in jwt.json, which nginx loads as `wss_jwt`. Arrays in there
 * have no methods. What a token is refused for goes back in Wssgate-Reason, for the log alone.
 *
 * njs 0.7.9 crashes on an await among the arguments of a call, and 0.8 refuses it.
 */
import fs from 'fs';
import hashes from 'crypto';

// What nginx takes of a header's line.
const TOKEN_MAX_LENGTH = 8192;
// Objects and lists within each other.
const DEPTH_MAX = 8;
// Signatures that one token may cost. Without a kid, any key of the algorithm may be the one.
const KEYS_MAX = 4;
const SUBJECT_MAX_LENGTH = 256;
const HEADER_MAX_LENGTH = 1024;
// The year 9999. What is beyond is no date.
const TIME_MAX = 253402300799;

// Here $ would match before a line break at the end, too: njs has PCRE.
const FORM = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)(?![\s\S])/;
// A token of another type may have another meaning (RFC 8725 3.11); RFC 9068 2.1 has the second.
const TYPE = /^(?:application\/)?(?:at\+)?jwt(?![\s\S])/i;
const JSON_STRING = /"[^"\\]*(?:\\.[^"\\]*)*"/g;
const JSON_NAME = /""[ \t\r\n]*:/g;
const JSON_WORD = /[^"[\]{}:, \t\r\n]+/g;
const JSON_VALUE = /^(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![\s\S])/;
// U+FFFD stands for what was no character: two texts with it may have been different ones.
// eslint-disable-next-line no-control-regex
const NOT_TEXT = /[\u0000-\u001f\u007f\ufffd]/;
const LIFETIME = /^([0-9]{1,10})-([0-9]{1,10})(?![\s\S])/;
const CUT_OFF = /^[0-9]{1,12}\n?(?![\s\S])/;
const CUT_OFF_SIZE = 13;

// `key` and `check` as Web Cryptography has them; bytes of the point that an elliptic key is.
const ALGORITHMS = {
    ES256: {
        key: {name: 'ECDSA', namedCurve: 'P-256'},
        check: {name: 'ECDSA', hash: 'SHA-256'},
        point: 65
    },
    ES384: {
        key: {name: 'ECDSA', namedCurve: 'P-384'},
        check: {name: 'ECDSA', hash: 'SHA-384'},
        point: 97
    },
    RS256: {
        key: {name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256'},
        check: {name: 'RSASSA-PKCS1-v1_5'}
    },
    PS256: {
        key: {name: 'RSA-PSS', hash: 'SHA-256'},
        check: {name: 'RSA-PSS', saltLength: 32}
    }
};

// No Error: one costs njs 0.7.9 more than a signature, and a flood of bad tokens would cost more than good ones.
function refuse(reason) {
    // eslint-disable-next-line no-throw-literal
    throw {reason: reason};
}

function has(object, name) {
    return Object.prototype.hasOwnProperty.call(object, name);
}

function isObject(value) {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function includes(list, value) {
    for (let i = 0; i < list.length; i++) {
        if (list[i] === value) {
            return true;
        }
    }
    return false;
}

// The bytes of a part that has one spelling only: no padding, and no bits behind the last byte (RFC 7515 2).
function decoded(part) {
    const bytes = Buffer.from(part, 'base64url');
    if (bytes.toString('base64url') !== part) {
        refuse('jwt_malformed');
    }
    return bytes;
}

// How many members the objects within have, and whether they are within each other too often.
function countMembers(value, depth) {
    if (typeof value !== 'object' || value === null) {
        return 0;
    }
    if (depth > DEPTH_MAX) {
        refuse('jwt_malformed');
    }
    const names = Object.keys(value);
    let count = Array.isArray(value) ? 0 : names.length;
    for (let i = 0; i < names.length; i++) {
        count += countMembers(value[names[i]], depth + 1);
    }
    return count;
}

// The object that a part has, by the letter of RFC 8259, without a name that stands in an object twice: JSON.parse
// would take the last one, others the first. It also takes numbers such as 01.
function parsed(part) {
    let text;
    let value;
    try {
        text = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(decoded(part));
        value = JSON.parse(text);
    } catch (error) {
        // Then it is none.
    }
    if (!isObject(value)) {
        refuse('jwt_malformed');
    }
    const skeleton = text.replace(JSON_STRING, '""');
    const words = skeleton.match(JSON_WORD) || [];
    for (let i = 0; i < words.length; i++) {
        if (!JSON_VALUE.test(words[i])) {
            refuse('jwt_malformed');
        }
    }
    if ((skeleton.match(JSON_NAME) || []).length !== countMembers(value, 1)) {
        refuse('jwt_malformed');
    }
    return value;
}

// The parts of a token whose form is right. Nothing in it is to be trusted yet.
function read(token) {
    if (token.length > TOKEN_MAX_LENGTH) {
        refuse('jwt_malformed');
    }
    const parts = FORM.exec(token);
    if (!parts) {
        refuse('jwt_malformed');
    }
    const header = parsed(parts[1]);
    checkHeader(header);
    return {
        header: header,
        payload: parts[2],
        signed: parts[1] + '.' + parts[2],
        signature: decoded(parts[3])
    };
}

// Where keys come from is for jwt.json alone to say: jwk, jku, x5c and x5u of the header count for nothing.
function checkHeader(header) {
    if (has(header, 'crit') || has(header, 'b64') || has(header, 'cty') || has(header, 'zip')) {
        refuse('jwt_header');
    }
    if (has(header, 'typ') && (typeof header.typ !== 'string' || !TYPE.test(header.typ))) {
        refuse('jwt_header');
    }
    if (has(header, 'kid') && typeof header.kid !== 'string') {
        refuse('jwt_header');
    }
    if (typeof header.alg !== 'string' || !has(ALGORITHMS, header.alg)) {
        refuse('jwt_algorithm');
    }
}

// The keys that may have signed it. The one that kid names is the only one; keys without a kid stand for any.
function candidates(keys, header) {
    const isNamed = has(header, 'kid');
    let kid;
    if (isNamed) {
        kid = '';
        for (let i = 0; i < keys.length; i++) {
            if (keys[i].kid === header.kid) {
                kid = header.kid;
            }
        }
    }
    const found = [];
    for (let i = 0; i < keys.length; i++) {
        if ((!isNamed || keys[i].kid === kid) && includes(keys[i].algorithms, header.alg)) {
            found.push(keys[i]);
        }
    }
    if (found.length === 0 || found.length > KEYS_MAX) {
        refuse('jwt_key');
    }
    return found;
}

// A point is imported in a quarter of the time, where njs takes one. SubjectPublicKeyInfo ends with it (RFC 5480 2).
function material(key, rules) {
    const bytes = Buffer.from(key.spki, 'base64');
    if (rules.point && njs.version_number >= 0x000800) {
        return {format: 'raw', bytes: bytes.slice(bytes.length - rules.point)};
    }
    return {format: 'spki', bytes: bytes};
}

async function isSignedBy(key, algorithm, signature, signed) {
    const rules = ALGORITHMS[algorithm];
    const given = material(key, rules);
    const imported = await crypto.subtle.importKey(given.format, given.bytes, rules.key, false, ['verify']);
    try {
        // OpenSSL calls some signatures an error and not a wrong one.
        const isRight = await crypto.subtle.verify(rules.check, imported, signature, Buffer.from(signed));
        return isRight === true;
    } catch (error) {
        return false;
    }
}

async function isSigned(token, keys) {
    const found = candidates(keys, token.header);
    for (let i = 0; i < found.length; i++) {
        const isRight = await isSignedBy(found[i], token.header.alg, token.signature, token.signed);
        if (isRight) {
            return true;
        }
    }
    return false;
}

function time(claims, name) {
    if (!has(claims, name)) {
        return undefined;
    }
    const value = claims[name];
    if (typeof value !== 'number' || !(value >= 0 && value <= TIME_MAX)) {
        refuse('jwt_claims');
    }
    return value;
}

function checkTimes(claims, issuer, now) {
    const expires = time(claims, 'exp');
    const begins = time(claims, 'nbf');
    const issued = time(claims, 'iat');
    if (expires === undefined) {
        refuse('jwt_claims');
    }
    if (expires + issuer.clock_skew <= now) {
        refuse('jwt_expired');
    }
    if (begins > now + issuer.clock_skew || issued > now + issuer.clock_skew) {
        refuse('jwt_not_yet');
    }
    if (expires > now + issuer.max_token_lifetime + issuer.clock_skew) {
        refuse('jwt_lifetime');
    }
}

function checkIdentity(claims) {
    ['sub', 'jti'].forEach((name) => {
        if (has(claims, name)) {
            const value = claims[name];
            if (typeof value !== 'string' || value === '' || NOT_TEXT.test(value)) {
                refuse('jwt_claims');
            }
        }
    });
    if (!has(claims, 'sub') && !has(claims, 'jti')) {
        refuse('jwt_claims');
    }
}

function checkAudience(claims, issuer) {
    const given = has(claims, 'aud') ? [].concat(claims.aud) : [];
    let isOurs = false;
    given.forEach((audience) => {
        if (typeof audience !== 'string') {
            refuse('jwt_claims');
        }
        isOurs = isOurs || includes(issuer.audience, audience);
    });
    if (!isOurs) {
        refuse('jwt_audience');
    }
}

// The value at the end of a path of names.
function claim(claims, path) {
    let value = claims;
    for (let i = 0; i < path.length; i++) {
        if (!isObject(value) || !has(value, path[i])) {
            return undefined;
        }
        value = value[path[i]];
    }
    return value;
}

// Scopes are words in one text (RFC 8693 4.2); some providers have a list, and some the name scp.
function scopes(claims) {
    let found = [];
    ['scope', 'scp'].forEach((name) => {
        const value = has(claims, name) ? claims[name] : [];
        found = found.concat(typeof value === 'string' ? value.split(' ') : value);
    });
    return found;
}

function checkRequirements(claims, issuer) {
    for (let i = 0; i < issuer.require.length; i++) {
        const rule = issuer.require[i];
        let found = rule.scopes ? scopes(claims) : claim(claims, rule.claim);
        if (found === undefined || found === null) {
            refuse('jwt_required');
        }
        found = [].concat(found);
        const wanted = rule.values;
        let count = 0;
        for (let j = 0; j < wanted.length; j++) {
            count += includes(found, wanted[j]) ? 1 : 0;
        }
        if (wanted.length && count < (rule.all ? wanted.length : 1)) {
            refuse('jwt_required');
        }
    }
}

function sha256(text) {
    return hashes.createHash('sha256').update(text).digest('hex');
}

// An issuer has no line break in it, so no other pair of texts has this fingerprint.
function fingerprint(issuer, jti) {
    return sha256(issuer + '\n' + jti);
}

// What is there; undefined where nothing is. What cannot be looked at must not pass for something that is not there. An
// error for what is not there would cost njs 0.7.9 several times a signature.
function look(path, follows) {
    try {
        const options = {throwIfNoEntry: false};
        return follows ? fs.statSync(path, options) : fs.lstatSync(path, options);
    } catch (error) {
        return refuse('jwt_store');
    }
}

// The time before which a subject's tokens count for nothing. A pipe would hold up the worker, and a file without an
// end fill its memory.
function cutOff(path, entry) {
    let text = '';
    try {
        text = entry.isFile() && entry.size <= CUT_OFF_SIZE ? fs.readFileSync(path, 'utf8') : '';
    } catch (error) {
        refuse('jwt_store');
    }
    if (!CUT_OFF.test(text)) {
        refuse('jwt_store');
    }
    return parseInt(text, 10);
}

function checkRevocations(claims, issuer, store) {
    if (!look(store + '/jti', true) || !look(store + '/sub', true)) {
        refuse('jwt_store');
    }
    // A link that leads nowhere is an entry all the same.
    if (has(claims, 'jti') && look(store + '/jti/' + fingerprint(issuer.issuer, claims.jti), false)) {
        refuse('jwt_revoked');
    }
    if (has(claims, 'sub')) {
        const path = store + '/sub/' + sha256(claims.sub);
        const entry = look(path, false);
        if (entry) {
            const before = cutOff(path, entry);
            if (!has(claims, 'iat') || claims.iat < before) {
                refuse('jwt_revoked');
            }
        }
    }
}

// As a header and a log can have it: visible ASCII and blanks within are as they were, the rest, % and , are % and two
// digits for each byte. So a comma is between two values.
function encoded(value) {
    if (typeof value !== 'string') {
        return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
    }
    return value.replace(/[^ -$&-+\--~]+/g, encodeURIComponent).replace(/^ +| +$/g, encodeURIComponent);
}

// As a field of the session log, in which - stands for nothing.
function field(value) {
    const text = encoded(value).replace(/ /g, '%20');
    return text === '-' ? '%2D' : text;
}

function headers(claims, issuer) {
    const found = {};
    for (let i = 0; i < issuer.headers.length; i++) {
        const value = claim(claims, issuer.headers[i].claim);
        const text = (Array.isArray(value) ? value.map(encoded).join(',') : encoded(value));
        if (text.length > HEADER_MAX_LENGTH) {
            refuse('jwt_claims');
        }
        found[issuer.headers[i].answer] = text;
    }
    return found;
}

// Seconds that a session may last, at least and at most ("3240-3600"): what its location has, or "-", and no longer
// than its token counts. clock_skew is for signers whose clock is wrong, so it prolongs nothing.
function lifetime(allowed, expires, now) {
    const left = Math.max(1, Math.ceil(expires - now));
    const bounds = LIFETIME.exec(allowed) || ['', left, left];
    return Math.min(bounds[1], left) + '-' + Math.min(bounds[2], left);
}

/*
 * What is to be said of a token at a time, in seconds: its subject, fingerprint, end, time of issue and headers, or the
 * reason why it is refused.
 */
async function judge(text, issuers, now, store) {
    try {
        const token = read(text);
        const claims = parsed(token.payload);
        let issuer;
        for (let i = 0; i < issuers.length; i++) {
            if (issuers[i].issuer === claims.iss) {
                issuer = issuers[i];
            }
        }
        if (!issuer) {
            refuse('jwt_issuer');
        }
        const isRight = await isSigned(token, issuer.keys);
        if (!isRight) {
            refuse('jwt_signature');
        }
        checkIdentity(claims);
        checkTimes(claims, issuer, now);
        checkAudience(claims, issuer);
        checkRequirements(claims, issuer);
        const subject = has(claims, 'sub') ? field(claims.sub) : '';
        if (subject.length > SUBJECT_MAX_LENGTH) {
            refuse('jwt_claims');
        }
        const sent = headers(claims, issuer);
        checkRevocations(claims, issuer, store);
        return {
            reason: '',
            subject: subject,
            id: has(claims, 'jti') ? fingerprint(issuer.issuer, claims.jti) : '',
            expires: Math.floor(claims.exp),
            issued: has(claims, 'iat') ? String(Math.floor(claims.iat)) : '-',
            headers: sent
        };
    } catch (error) {
        if (!error.reason) {
            ngx.log(ngx.ERR, 'a signed token could not be judged: ' + error.message);
        }
        return {reason: error.reason || 'jwt_error'};
    }
}

async function answer(r) {
    const names = wss_jwt.locations[r.uri.slice(1)];
    const issuers = [];
    for (let i = 0; names && i < names.length; i++) {
        issuers.push(wss_jwt.issuers[names[i]]);
    }
    const now = Date.now() / 1000;
    const allowed = r.headersIn['Wssgate-Lifetime'] || '-';
    const verdict = await judge(r.headersIn['Wssgate-Token'] || '', issuers, now, wss_jwt.revocations);
    if (verdict.reason) {
        // A password may let the client in yet.
        r.headersOut['Wssgate-Lifetime'] = allowed;
        r.headersOut['Wssgate-Reason'] = verdict.reason;
        if (r.headersIn['Wssgate-Source'] === 'bearer') {
            // RFC 6750 3
            r.headersOut['WWW-Authenticate'] = 'Bearer error="invalid_token"';
            r.return(401, '');
        } else {
            r.return(403, '');
        }
        return;
    }
    r.headersOut['Wssgate-Subject'] = verdict.subject;
    r.headersOut['Wssgate-Id'] = verdict.id;
    r.headersOut['Wssgate-Issued'] = verdict.issued;
    r.headersOut['Wssgate-Lifetime'] = lifetime(allowed, verdict.expires, now);
    Object.keys(verdict.headers).forEach((name) => {
        r.headersOut[name] = verdict.headers[name];
    });
    r.return(204);
}

export default {answer, judge, read, isSigned, isSignedBy};
