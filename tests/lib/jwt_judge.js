/* For tests: what jwt.js makes of many tokens in one request, at a time that the request names. */
import jwt from 'jwt.js';

async function judged(r) {
    const given = JSON.parse(r.requestText);
    const found = [];
    for (let i = 0; i < given.cases.length; i++) {
        const one = given.cases[i];
        const issuers = one.issuers.map((name) => wss_jwt.issuers[name]);
        const verdict = await jwt.judge(one.token, issuers, given.now, wss_jwt.revocations);
        found.push(verdict);
    }
    r.return(200, JSON.stringify(found));
}

async function isSigned(one) {
    try {
        const token = jwt.read(one.jws);
        const isRight = await jwt.isSigned(token, one.keys);
        return isRight ? 'signed' : 'jwt_signature';
    } catch (error) {
        return error.reason || 'error: ' + error.message;
    }
}

async function signed(r) {
    const cases = JSON.parse(r.requestText);
    const found = [];
    for (let i = 0; i < cases.length; i++) {
        const answer = await isSigned(cases[i]);
        found.push(answer);
    }
    r.return(200, JSON.stringify(found));
}

async function verified(r) {
    const cases = JSON.parse(r.requestText);
    const found = [];
    for (let i = 0; i < cases.length; i++) {
        const one = cases[i];
        const signature = Buffer.from(one.signature, 'hex');
        const answer = await jwt.isSignedBy(one.key, one.algorithm, signature, Buffer.from(one.message, 'hex'));
        found.push(answer);
    }
    r.return(200, JSON.stringify(found));
}

function version(r) {
    r.return(200, njs.version);
}

export default {judged, signed, verified, version};
