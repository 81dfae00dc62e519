// The peer: PostGraphile 5 with its Amber preset, lists in place of connections, on node:http.
import { createServer } from "node:http";
import { postgraphile } from "postgraphile";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";

const preset = {
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({ connectionString: process.env.DATABASE_URL, schemas: ["public"] })],
  schema: {
    defaultBehavior: "+list +query:resource:list -connection -insert -update -delete",
  },
  grafserv: { watch: false, graphiql: false, maxRequestLength: 1000000 },
  grafast: { explain: false },
};
const service = postgraphile(preset);
const serving = service.createServ(grafserv);
const server = createServer();
await serving.addTo(server);
if (process.env.PRINT_SDL) {
  const { printSchema } = await import("postgraphile/grafast/graphql");
  console.log(printSchema((await service.getSchemaResult()).schema));
  process.exit(0);
}
server.listen(Number(process.env.PORT), "127.0.0.1");
