// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

// Nothing of ours uses the access manager itself, only its interface; this makes its artefact for the deployment.
import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
