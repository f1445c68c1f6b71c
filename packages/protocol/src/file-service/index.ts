/**
 * The file service: what the file server on the developer's machine asks of the agent, over streams of the kind
 * "files", and what the agent hands on to the worker with the target's ids. Both ends are foreign to each other, and
 * the names and contents come from a pod that may mean ill.
 */

export {
  encodeFileAnswer,
  encodeFileEvent,
  encodeFileFailure,
  type FileAnswers,
  type FileChange,
  type FileEvent,
  MAX_ANSWER,
  parseAnswerHeader,
  parseFileAnswer,
  parseFileEvent,
} from "./answers.ts";
export { ATTRIBUTE_FLAGS, type FileAttributes } from "./attributes.ts";
export { MessageCutter } from "./cut.ts";
export { MAX_NAME, MAX_PATH } from "./fields.ts";
export type { FileRecord } from "./records.ts";
export {
  answerLimit,
  changesFiles,
  encodeFileRequest,
  FILE_OPERATIONS,
  type FileOperation,
  type FileRequest,
  type FileRequests,
  fileRequestId,
  MAX_ATTRIBUTE_VALUE,
  MAX_INLINE,
  MAX_RECORDS,
  MAX_REQUEST,
  MAX_TRANSFER,
  MIN_RECORDS,
  OPEN_FLAGS,
  parseFileRequest,
  SESSION_AT,
  SET_ATTRIBUTES,
  UnknownOperation,
} from "./requests.ts";
