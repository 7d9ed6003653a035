/** The form of a SIM's SID. */
export const SIM_SID = /^HS[0-9a-fA-F]{32}$/;
const ICCID = /^\d{18,22}$/;

/** Tells whether a name of a SIM is its SID. */
export const isSimSid = (name: string): boolean => SIM_SID.test(name);

/** Tells whether a name of a SIM is its ICCID. */
export const isIccid = (name: string): boolean => ICCID.test(name);
