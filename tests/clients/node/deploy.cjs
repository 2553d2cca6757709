// Deploys a template by Azure's JavaScript client: node deploy.cjs SIMULATOR.JSON GROUP NAME, a deployment on standard
// input. Prints the outcome as JSON. NODE_EXTRA_CA_CERTS names the simulator's CA; `--http` goes without TLS.
"use strict";
const fs = require("node:fs");
const { DeploymentsClient } = require("@azure/arm-resourcesdeployments");

const [file, group, name, ...flags] = process.argv.slice(2);
const access = JSON.parse(fs.readFileSync(file, "utf8"));
const endpoint = flags.includes("--http") ? access.http_endpoint : access.endpoint;

// A service principal's credential in a few lines; @azure/identity does the same with disableInstanceDiscovery.
const credential = {
  async getToken(scopes) {
    const form = new URLSearchParams({
      grant_type: "client_credentials",
      client_id: access.client_id,
      client_secret: fs.readFileSync(access.client_secret_file, "utf8").trim(),
      scope: [scopes].flat().join(" "),
    });
    const reply = await fetch(`${endpoint}/${access.tenant_id}/oauth2/v2.0/token`, { method: "POST", body: form });
    const told = await reply.json();
    if (!reply.ok) throw new Error(told.error_description);
    return { token: told.access_token, expiresOnTimestamp: Date.now() + told.expires_in * 1000 };
  },
};

// Azure's own policy refuses to; a policy in its place does it.
function sendTheTokenWithoutTls(pipeline) {
  pipeline.removePolicy({ name: "bearerTokenAuthenticationPolicy" });
  pipeline.addPolicy({
    name: "tokenWithoutTls",
    async sendRequest(request, next) {
      const { token } = await credential.getToken("https://management.azure.com/.default");
      request.headers.set("Authorization", `Bearer ${token}`);
      return next(request);
    },
  });
}

async function main() {
  const client = new DeploymentsClient(credential, access.subscription_id, {
    endpoint,
    credentials: { scopes: ["https://management.azure.com/.default"] },
    allowInsecureConnection: flags.includes("--http"),
  });
  if (flags.includes("--http")) sendTheTokenWithoutTls(client.pipeline);
  const deployment = JSON.parse(fs.readFileSync(0, "utf8"));
  let outcome;
  try {
    const ended = await client.deployments.createOrUpdate(group, name, deployment, { updateIntervalInMs: 50 });
    outcome = { state: ended.properties.provisioningState, outputs: ended.properties.outputs };
  } catch (error) {
    outcome = { error: error.message, code: error.code ?? null, status: error.statusCode ?? null };
  }
  const operations = [];
  for await (const operation of client.deploymentOperations.list(group, name)) {
    const { provisioningState, statusMessage } = operation.properties;
    operations.push([provisioningState, statusMessage?.error?.code ?? null]);
  }
  console.log(JSON.stringify({ ...outcome, operations }));
}

main().catch((error) => { console.error(error); process.exit(1); });
