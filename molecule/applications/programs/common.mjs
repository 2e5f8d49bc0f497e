// Copyright: (c) 2026, wssgate contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
// What the JavaScript clients share; see common.py. NODE_EXTRA_CA_CERTS is the certificate to trust.

const { TOKEN, BEARER, ORIGIN } = process.env;

export const url = process.env.URL;
export const mode = process.argv[2];

// A client that nobody waits for any more leaves.
setTimeout(() => process.exit(1), 180_000).unref();

export const headers = {
    ...(TOKEN && { Cookie: `AUTH=${TOKEN}` }),
    ...(BEARER && { Authorization: `Bearer ${BEARER}` }),
    ...(ORIGIN && { Origin: ORIGIN }),
};

export function tell(event, facts = {}) {
    process.stdout.write(JSON.stringify({ event, ...facts }) + "\n");
}

// For a client whose library would keep it. Nothing after it happens.
export function finish(event, facts = {}) {
    return new Promise(() => process.stdout.write(JSON.stringify({ event, ...facts }) + "\n", () => process.exit(0)));
}
