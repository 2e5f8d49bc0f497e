// Copyright: (c) 2026, wssgate contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
import { registerHooks } from "node:module";

// Janode's other transport needs a compiled module, which nothing here uses.
registerHooks({
    resolve(specifier, context, next) {
        if (specifier !== "unix-dgram") return next(specifier, context);
        return { url: "data:text/javascript,export const createSocket = undefined;", shortCircuit: true };
    },
});
