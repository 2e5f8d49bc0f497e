// Copyright: (c) 2026, wssgate contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
// A GraphQL server with one subscription, `countdown`, that has as many events as it is asked for.

import { GraphQLInt, GraphQLObjectType, GraphQLSchema, GraphQLString } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

const schema = new GraphQLSchema({
    query: new GraphQLObjectType({ name: "Query", fields: { hello: { type: GraphQLString, resolve: () => "world" } } }),
    subscription: new GraphQLObjectType({
        name: "Subscription",
        fields: {
            countdown: {
                type: GraphQLInt,
                args: { from: { type: GraphQLInt } },
                async *subscribe(_source, { from }) {
                    for (let number = from; number > 0; number--) {
                        yield { countdown: number };
                        await new Promise((resolve) => setImmediate(resolve));
                    }
                },
            },
            silence: {
                type: GraphQLInt,
                async *subscribe() {
                    yield { silence: 0 };
                    await new Promise(() => {});
                },
            },
        },
    }),
});
useServer({ schema }, new WebSocketServer({ host: "127.0.0.1", port: 4000, path: "/graphql" }));
