/** Number of commands whose echo is recognised, also after their time-out. */
const MAX_RECENT = 20;
const MAX_CONTROLS = 8;

/** Recognises the modem's echo of what was written to it. */
export function createEchoes() {
  const recent: string[] = [];
  /** Control characters that were written between commands and are not echoed yet. */
  const controls: number[] = [];
  return {
    command(text: string): void {
      controls.length = 0;
      recent.push(text);
      if (recent.length > MAX_RECENT) recent.shift();
    },

    /** A control character was written outside commands and payloads. */
    control(byte: number): void {
      if (byte < 0x20 && byte !== 0x0a && byte !== 0x0d && controls.length < MAX_CONTROLS) controls.push(byte);
    },

    isOfCommand: (line: string): boolean => recent.includes(line.trim()),

    /** Some hosts write a Ctrl-Z after a payload, and some modems echo it. */
    isOfControls(bytes: Buffer): boolean {
      if (bytes.length > controls.length || !bytes.every((byte, index) => byte === controls[index])) return false;
      controls.splice(0, bytes.length);
      return true;
    },
  };
}
