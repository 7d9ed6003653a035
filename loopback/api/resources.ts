import type { IpCommand } from '../../shared/ip-command.js';
import type { Fleet, SimRegistry } from '../account/registry.js';
import type { Sim } from '../account/sims.js';
import type { StoredCommand } from '../account/store.js';

export const SIM_RESOURCE_STATUSES = ['new', 'ready', 'active', 'inactive', 'scheduled'] as const;

/** Status in the Sim resource, which does not show whether the device is detached. */
export const simStatus = ({ state }: Sim): (typeof SIM_RESOURCE_STATUSES)[number] =>
  state === 'inactive' ? 'inactive' : 'active';

/** @param origin the scheme and host that the client asked by */
export const ipCommandResource = (command: StoredCommand, origin: string): IpCommand => ({
  ...command,
  url: `${origin}/v1/IpCommands/${command.sid}`,
});

/** The Sim resource (docs/vendor-facts.md, "API: Sims and Fleets"). */
export function simResource(sim: Sim, accountSid: string, { dateCreated }: SimRegistry, origin: string) {
  const url = `${origin}/v1/Sims/${sim.sid}`;
  return {
    sid: sim.sid,
    unique_name: sim.uniqueName,
    account_sid: accountSid,
    iccid: sim.iccid,
    status: simStatus(sim),
    fleet_sid: sim.fleetSid,
    date_created: dateCreated,
    date_updated: dateCreated,
    url,
    links: { billing_periods: `${url}/BillingPeriods`, sim_ip_addresses: `${url}/IpAddresses` },
  };
}

/** The Fleet resource; members without a use in the loopback are as in a new Fleet (docs/vendor-facts.md). */
export function fleetResource(fleet: Fleet, accountSid: string, { dateCreated }: SimRegistry, origin: string) {
  return {
    account_sid: accountSid,
    sid: fleet.sid,
    unique_name: fleet.uniqueName,
    date_created: dateCreated,
    date_updated: fleet.dateUpdated,
    url: `${origin}/v1/Fleets/${fleet.sid}`,
    data_enabled: true,
    data_limit: 250,
    data_metering: 'payg',
    sms_commands_enabled: false,
    sms_commands_url: null,
    sms_commands_method: 'POST',
    network_access_profile_sid: null,
    ip_commands_url: fleet.ipCommandsUrl,
    ip_commands_method: fleet.ipCommandsMethod,
  };
}

/** A list's body: one page of resources and the URLs of its neighbours. */
export function listBody(
  key: string,
  resources: readonly unknown[],
  requestUrl: URL,
  { page, pageSize, ...tokens }: { page: number; pageSize: number; nextToken?: string; previousToken?: string },
) {
  const urlOf = (toPage: number, token?: string) => {
    const url = new URL(requestUrl);
    for (const name of ['PageSize', 'Page', 'PageToken']) url.searchParams.delete(name);
    url.searchParams.set('PageSize', `${pageSize}`);
    url.searchParams.set('Page', `${toPage}`);
    if (token !== undefined) url.searchParams.set('PageToken', token);
    return url.href;
  };
  return {
    [key]: resources,
    meta: {
      first_page_url: urlOf(0),
      key,
      next_page_url: tokens.nextToken === undefined ? null : urlOf(page + 1, tokens.nextToken),
      page,
      page_size: pageSize,
      previous_page_url: tokens.previousToken === undefined ? null : urlOf(Math.max(0, page - 1), tokens.previousToken),
      url: urlOf(page, requestUrl.searchParams.get('PageToken') ?? undefined),
    },
  };
}
